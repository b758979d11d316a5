/* The XDP program that hands a device's frames to AF_XDP sockets.
 *
 * It is so short that it is written down as instructions: look up the socket
 * of the queue that received the frame, redirect.
 *
 * Before that it rescues the VLAN tag.  A driver may take the tag out of the
 * frame, and veth passes it beside the frame from the start, where an AF_XDP
 * socket doesn't see it.  Since Linux 6.8 a program can ask the driver for it,
 * if it was loaded for that very device and the driver answers.  It writes
 * what it learns in front of the frame, as metadata, which the kernel copies
 * along.
 *
 * The program is attached by a link, which goes away with the process, however
 * that ends: nothing to clean up after a crash, nothing in the next one's
 * way. */
#include <config.h>
#include "datapath/xdp-program.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "ovs-thread.h"
#include "util.h"

/* In <linux/bpf.h> since Linux 5.18 and 6.3. */
#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif
#ifndef BPF_F_XDP_DEV_BOUND_ONLY
#define BPF_F_XDP_DEV_BOUND_ONLY (1U << 6)
#endif

#define VLAN_KFUNC "bpf_xdp_metadata_rx_vlan_tag"

/* --- Instructions -------------------------------------------------------- */

#define INSN(CODE, DST, SRC, OFF, IMM)                                  \
    ((struct bpf_insn) { .code = (CODE), .dst_reg = (DST),              \
                         .src_reg = (SRC), .off = (OFF), .imm = (IMM) })
#define MOV_REG(DST, SRC) INSN(BPF_ALU64 | BPF_MOV | BPF_X, DST, SRC, 0, 0)
#define MOV_IMM(DST, IMM) INSN(BPF_ALU64 | BPF_MOV | BPF_K, DST, 0, 0, IMM)
#define ADD_IMM(DST, IMM) INSN(BPF_ALU64 | BPF_ADD | BPF_K, DST, 0, 0, IMM)
#define LOAD(SIZE, DST, SRC, OFF)                               \
    INSN(BPF_LDX | BPF_MEM | (SIZE), DST, SRC, OFF, 0)
#define STORE(SIZE, DST, OFF, SRC)                              \
    INSN(BPF_STX | BPF_MEM | (SIZE), DST, SRC, OFF, 0)
#define STORE_IMM(SIZE, DST, OFF, IMM)                          \
    INSN(BPF_ST | BPF_MEM | (SIZE), DST, 0, OFF, IMM)
#define JUMP_NE(DST, IMM, OFF)                                  \
    INSN(BPF_JMP | BPF_JNE | BPF_K, DST, 0, OFF, IMM)
#define JUMP_GT(DST, SRC, OFF)                                  \
    INSN(BPF_JMP | BPF_JGT | BPF_X, DST, SRC, OFF, 0)
#define CALL(HELPER) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, HELPER)
#define CALL_KFUNC(ID) \
    INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, ID)
#define EXIT INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

/* What notes the VLAN tag in front of the frame.  The context is in R6. */
static size_t
put_vlan_note(struct bpf_insn *insns, int kfunc)
{
    enum { NOTE = sizeof(struct xdp_vlan_note), END = 24 };
    enum { TPID = -2, TCI = -4 }; /* On the stack. */
    const struct bpf_insn note[] = {
        /* if (bpf_xdp_adjust_meta(ctx, -NOTE)) goto end; */
        [0] = MOV_REG(R1, R6),
        [1] = MOV_IMM(R2, -NOTE),
        [2] = CALL(BPF_FUNC_xdp_adjust_meta),
        [3] = JUMP_NE(R0, 0, END - 4),
        /* if (ctx->data_meta + NOTE > ctx->data) goto end; */
        [4] = LOAD(BPF_W, R7, R6, offsetof(struct xdp_md, data_meta)),
        [5] = LOAD(BPF_W, R2, R6, offsetof(struct xdp_md, data)),
        [6] = MOV_REG(R3, R7),
        [7] = ADD_IMM(R3, NOTE),
        [8] = JUMP_GT(R3, R2, END - 9),
        [9] = STORE_IMM(BPF_W, R7, offsetof(struct xdp_vlan_note, magic), 0),
        /* if (kfunc(ctx, &tpid, &tci)) goto end; */
        [10] = STORE_IMM(BPF_H, R10, TPID, 0),
        [11] = STORE_IMM(BPF_H, R10, TCI, 0),
        [12] = MOV_REG(R1, R6),
        [13] = MOV_REG(R2, R10),
        [14] = ADD_IMM(R2, TPID),
        [15] = MOV_REG(R3, R10),
        [16] = ADD_IMM(R3, TCI),
        [17] = CALL_KFUNC(kfunc),
        [18] = JUMP_NE(R0, 0, END - 19),
        [19] = LOAD(BPF_H, R1, R10, TPID),
        [20] = LOAD(BPF_H, R2, R10, TCI),
        [21] = STORE(BPF_H, R7, offsetof(struct xdp_vlan_note, tpid), R1),
        [22] = STORE(BPF_H, R7, offsetof(struct xdp_vlan_note, tci), R2),
        [23] = STORE_IMM(BPF_W, R7, offsetof(struct xdp_vlan_note, magic),
                         XDP_VLAN_MAGIC),
    };

    BUILD_ASSERT(ARRAY_SIZE(note) == END);
    memcpy(insns, note, sizeof note);
    return END;
}

/* What redirects to the socket of the queue.  The context is in R6. */
static size_t
put_redirect(struct bpf_insn *insns, int map_fd)
{
    const struct bpf_insn redirect[] = {
        /* return bpf_redirect_map(map, ctx->rx_queue_index, XDP_DROP); */
        INSN(BPF_LD | BPF_DW | BPF_IMM, R1, BPF_PSEUDO_MAP_FD, 0, map_fd),
        INSN(0, 0, 0, 0, 0),
        LOAD(BPF_W, R2, R6, offsetof(struct xdp_md, rx_queue_index)),
        MOV_IMM(R3, XDP_DROP),
        CALL(BPF_FUNC_redirect_map),
        EXIT,
    };

    memcpy(insns, redirect, sizeof redirect);
    return ARRAY_SIZE(redirect);
}

/* --- Loading and attaching ----------------------------------------------- */

/* The id of the function that tells VLAN tags, 0 if the kernel has none. */
static int
vlan_kfunc(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;
    static int id;

    if (ovsthread_once_start(&once)) {
        struct btf *btf = btf__load_vmlinux_btf();

        if (!libbpf_get_error(btf)) {
            id = MAX(0, btf__find_by_name_kind(btf, VLAN_KFUNC,
                                               BTF_KIND_FUNC));
            btf__free(btf);
        }
        ovsthread_once_done(&once);
    }
    return id;
}

/* The kernel lets only programs that may be had by the GPL, too, call its
 * functions.  This one may. */
#define PROGRAM_LICENSE "Dual BSD/GPL"

/* Loads the program, with the note if 'kfunc' is not 0.  Returns its
 * descriptor or a negative errno value. */
static int
load(int map_fd, int ifindex, int kfunc)
{
    LIBBPF_OPTS(bpf_prog_load_opts, opts);
    struct bpf_insn insns[64];
    size_t n = 0;

    insns[n++] = MOV_REG(R6, R1);
    if (kfunc) {
        n += put_vlan_note(&insns[n], kfunc);
        opts.prog_flags |= BPF_F_XDP_DEV_BOUND_ONLY;
        opts.prog_ifindex = ifindex;
    }
    n += put_redirect(&insns[n], map_fd);

    /* Without this flag the driver refuses long MTUs; older kernels don't
     * know it. */
    opts.prog_flags |= BPF_F_XDP_HAS_FRAGS;
    int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "sluice_xdp", PROGRAM_LICENSE,
                           insns, n, &opts);
    if (fd == -EINVAL && !kfunc) {
        opts.prog_flags = 0;
        fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "sluice_xdp", PROGRAM_LICENSE,
                           insns, n, &opts);
    }
    return fd;
}

static int
attach(struct xdp_program *xdp, int ifindex, uint32_t flags)
{
    LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);

    xdp->link_fd = bpf_link_create(xdp->prog_fd, ifindex, BPF_XDP, &opts);
    return xdp->link_fd < 0 ? -xdp->link_fd : 0;
}

static int
load_and_attach(struct xdp_program *xdp, int ifindex, uint32_t flags,
                int kfunc)
{
    xdp->prog_fd = load(xdp->map_fd, ifindex, kfunc);
    if (xdp->prog_fd < 0) {
        return -xdp->prog_fd;
    }
    xdp->notes_vlan = kfunc != 0;

    int error = attach(xdp, ifindex, flags);
    if (error) {
        close(xdp->prog_fd);
    }
    return error;
}

int
xdp_program_attach(struct xdp_program *xdp, int ifindex, uint32_t flags,
                   unsigned int n_queues)
{
    int kfunc = flags & XDP_FLAGS_DRV_MODE ? vlan_kfunc() : 0;

    xdp->map_fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "sluice_xsks",
                                 sizeof(uint32_t), sizeof(int), n_queues,
                                 NULL);
    if (xdp->map_fd < 0) {
        return -xdp->map_fd;
    }
    int error = kfunc ? load_and_attach(xdp, ifindex, flags, kfunc) : EINVAL;
    if (error) {
        error = load_and_attach(xdp, ifindex, flags, 0);
    }
    if (error) {
        close(xdp->map_fd);
    }
    return error;
}

int
xdp_program_redirect(const struct xdp_program *xdp, unsigned int queue,
                     int fd)
{
    uint32_t key = queue;

    return -bpf_map_update_elem(xdp->map_fd, &key, &fd, 0);
}

void
xdp_program_detach(struct xdp_program *xdp)
{
    close(xdp->link_fd);
    close(xdp->prog_fd);
    close(xdp->map_fd);
}

/* Attaching BPF programs to a device's traffic control hooks.
 *
 * Since Linux 6.6 a program is attached by a link (tcx), which goes away with
 * the process, however that ends, unless it is pinned to a file.  Before, it
 * is a filter of a clsact qdisc, which stays: the next process replaces it,
 * since its handle is the same, and it goes with the port.
 *
 * A program that is there already is replaced in one step: there is no packet
 * that neither of them sees. */
#include <config.h>
#include "datapath/tc-program.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netlink.h"
#include "openvswitch/ofpbuf.h"
#include "tc.h"
#include "util.h"

/* In <linux/bpf.h> since Linux 6.6. */
#define ATTACH_TYPE_TCX_INGRESS 46
#define ATTACH_TYPE_TCX_EGRESS 47

/* The filter's place on a clsact qdisc: behind those of others. */
#define FILTER_PRIORITY 0xfff0
#define FILTER_HANDLE 1
#define FILTER_NAME "sluice-port"

static int
sys_bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
    return syscall(SYS_bpf, cmd, attr, sizeof *attr);
}

int
tc_program_drop_all(void)
{
    static int prog_fd = -1;
    static const struct bpf_insn insns[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0,
          .imm = TC_ACT_SHOT },
        { .code = BPF_JMP | BPF_EXIT },
    };

    if (prog_fd < 0) {
        union bpf_attr attr;

        memset(&attr, 0, sizeof attr);
        attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
        attr.insns = (uintptr_t) insns;
        attr.insn_cnt = ARRAY_SIZE(insns);
        attr.license = (uintptr_t) "Apache-2.0";
        strcpy(attr.prog_name, "sluice_port");
        prog_fd = sys_bpf(BPF_PROG_LOAD, &attr);
    }
    return prog_fd;
}

/* --- tcx ----------------------------------------------------------------- */

static int
create_link(const struct tc_program *p, int prog_fd)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.link_create.prog_fd = prog_fd;
    attr.link_create.target_ifindex = p->ifindex;
    attr.link_create.attach_type = p->egress ? ATTACH_TYPE_TCX_EGRESS
                                             : ATTACH_TYPE_TCX_INGRESS;
    return sys_bpf(BPF_LINK_CREATE, &attr);
}

/* The device of tcx link 'fd', 0 if it has gone. */
static int
link_ifindex(int fd)
{
    /* struct bpf_link_info: a link's type, number, program, and, behind
     * padding, what depends on the type: for tcx the device. */
    uint32_t info[32] = { 0 };
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.info.bpf_fd = fd;
    attr.info.info_len = sizeof info;
    attr.info.info = (uintptr_t) info;
    return sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) ? 0 : info[4];
}

/* Takes over the link that is pinned to 'p->pin' for 'prog_fd'.  Returns its
 * descriptor or -1. */
static int
take_link(const struct tc_program *p, int prog_fd)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.pathname = (uintptr_t) p->pin;
    int fd = sys_bpf(BPF_OBJ_GET, &attr);
    if (fd < 0) {
        return -1;
    }
    if (link_ifindex(fd) == p->ifindex) {
        memset(&attr, 0, sizeof attr);
        attr.link_update.link_fd = fd;
        attr.link_update.new_prog_fd = prog_fd;
        if (!sys_bpf(BPF_LINK_UPDATE, &attr)) {
            return fd;
        }
    }
    close(fd);
    unlink(p->pin);
    return -1;
}

static int
attach_tcx(const struct tc_program *p, int prog_fd)
{
    int fd = create_link(p, prog_fd);

    if (fd >= 0 && p->pin) {
        union bpf_attr attr;

        memset(&attr, 0, sizeof attr);
        attr.pathname = (uintptr_t) p->pin;
        attr.bpf_fd = fd;
        /* Without, the program just goes when we do. */
        sys_bpf(BPF_OBJ_PIN, &attr);
    }
    return fd;
}

/* --- clsact -------------------------------------------------------------- */

static int
change_qdisc(int ifindex, int type, int flags)
{
    struct ofpbuf request;
    struct tcmsg *tcmsg = tc_make_request(ifindex, type, flags, &request);

    tcmsg->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    tcmsg->tcm_parent = TC_H_CLSACT;
    nl_msg_put_string(&request, TCA_KIND, "clsact");
    return tc_transact(&request, NULL);
}

static int
change_filter(const struct tc_program *p, int type, int flags, int prog_fd)
{
    struct ofpbuf request;
    struct tcmsg *tcmsg = tc_make_request(p->ifindex, type, flags, &request);

    tcmsg->tcm_handle = FILTER_HANDLE;
    tcmsg->tcm_parent = TC_H_MAKE(TC_H_CLSACT, p->egress ? TC_H_MIN_EGRESS
                                                         : TC_H_MIN_INGRESS);
    tcmsg->tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_ALL));
    nl_msg_put_string(&request, TCA_KIND, "bpf");
    if (prog_fd >= 0) {
        size_t options = nl_msg_start_nested(&request, TCA_OPTIONS);

        nl_msg_put_u32(&request, TCA_BPF_FD, prog_fd);
        nl_msg_put_string(&request, TCA_BPF_NAME, FILTER_NAME);
        nl_msg_put_u32(&request, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
        nl_msg_end_nested(&request, options);
    }
    return tc_transact(&request, NULL);
}

static int
attach_clsact(struct tc_program *p, int prog_fd)
{
    int error = change_qdisc(p->ifindex, RTM_NEWQDISC,
                             NLM_F_CREATE | NLM_F_EXCL);

    p->made_qdisc = !error;
    if (error && error != EEXIST) {
        return error;
    }
    return change_filter(p, RTM_NEWTFILTER,
                         NLM_F_CREATE | NLM_F_REPLACE, prog_fd);
}

/* --- Both ---------------------------------------------------------------- */

void
tc_program_init(struct tc_program *p, int ifindex, bool egress,
                const char *pin)
{
    *p = (struct tc_program) {
        .ifindex = ifindex,
        .egress = egress,
        .link_fd = -1,
        .pin = pin ? xstrdup(pin) : NULL,
    };
}

bool
tc_program_take_over(struct tc_program *p, int prog_fd)
{
    p->link_fd = p->pin ? take_link(p, prog_fd) : -1;
    return p->link_fd >= 0;
}

int
tc_program_attach(struct tc_program *p, int prog_fd)
{
    p->link_fd = attach_tcx(p, prog_fd);
    return p->link_fd < 0 ? attach_clsact(p, prog_fd) : 0;
}

void
tc_program_detach(struct tc_program *p)
{
    if (p->link_fd >= 0) {
        if (p->pin) {
            unlink(p->pin);
        }
        close(p->link_fd);
    } else if (p->made_qdisc) {
        change_qdisc(p->ifindex, RTM_DELQDISC, 0);
    } else {
        change_filter(p, RTM_DELTFILTER, 0, -1);
    }
    free(p->pin);
}

void
tc_program_leave(struct tc_program *p)
{
    if (p->link_fd >= 0) {
        close(p->link_fd);
    }
    free(p->pin);
}

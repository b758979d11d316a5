/* Keeps the host's own network stack off the frames of a switch port.
 *
 * What a kernel device that is a port receives belongs to the switch: the host
 * must not answer its ARP requests, forward its packets, or have them in its
 * own sockets.  Packet sockets get a frame before the traffic control's
 * ingress hook does, so a program there that drops everything leaves exactly
 * us.
 *
 * Since Linux 6.6 the program is attached by a link (tcx), which goes away
 * with the process, however that ends.  Before, it is a filter of a clsact
 * qdisc, which stays: the next process replaces it, since its handle is the
 * same, and it goes with the port. */
#include <config.h>
#include "datapath/host-stack.h"

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

#define ATTACH_TYPE_TCX_INGRESS 46 /* In <linux/bpf.h> since Linux 6.6. */

/* The filter's place on a clsact qdisc: behind those of others. */
#define FILTER_PRIORITY 0xfff0
#define FILTER_HANDLE 1
#define FILTER_NAME "sluice-port"

static int
sys_bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
    return syscall(SYS_bpf, cmd, attr, sizeof *attr);
}

/* Returns a descriptor of the program "return TC_ACT_SHOT", which is loaded
 * once and kept, or -1. */
static int
get_program(void)
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
attach_tcx(int prog_fd, int ifindex)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.link_create.prog_fd = prog_fd;
    attr.link_create.target_ifindex = ifindex;
    attr.link_create.attach_type = ATTACH_TYPE_TCX_INGRESS;
    return sys_bpf(BPF_LINK_CREATE, &attr);
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
change_filter(int ifindex, int type, int flags, int prog_fd)
{
    struct ofpbuf request;
    struct tcmsg *tcmsg = tc_make_request(ifindex, type, flags, &request);

    tcmsg->tcm_handle = FILTER_HANDLE;
    tcmsg->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
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
attach_clsact(struct host_stack_block *block, int prog_fd)
{
    int error = change_qdisc(block->ifindex, RTM_NEWQDISC,
                             NLM_F_CREATE | NLM_F_EXCL);

    block->made_qdisc = !error;
    if (error && error != EEXIST) {
        return error;
    }
    return change_filter(block->ifindex, RTM_NEWTFILTER,
                         NLM_F_CREATE | NLM_F_REPLACE, prog_fd);
}

/* --- Both ---------------------------------------------------------------- */

int
host_stack_block(struct host_stack_block *block, int ifindex)
{
    int error = 0;

    *block = (struct host_stack_block) { .ifindex = ifindex };
    int prog_fd = get_program();
    if (prog_fd < 0) {
        return errno;
    }
    block->link_fd = attach_tcx(prog_fd, ifindex);
    if (block->link_fd < 0) {
        error = attach_clsact(block, prog_fd);
    }
    return error;
}

void
host_stack_unblock(struct host_stack_block *block)
{
    if (block->link_fd >= 0) {
        close(block->link_fd);
    } else if (block->made_qdisc) {
        change_qdisc(block->ifindex, RTM_DELQDISC, 0);
    } else {
        change_filter(block->ifindex, RTM_DELTFILTER, 0, -1);
    }
}

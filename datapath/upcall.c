/* Upcalls: asking libofproto what to do with a packet.
 *
 * The thread that has the packet asks by itself, through the callback that
 * libofproto registers with a user-space datapath, then acts and installs the
 * answer as a megaflow.  It is offline as far as guest memory is concerned
 * meanwhile, since translation takes its time: so an upcall never holds up a
 * change of some guest's memory.
 *
 * A service thread may spend a tenth of its time so, with some credit for
 * bursts.  Beyond that its misses wait for libofproto's handler threads (see
 * upcall-queue.c), and its neighbours' known flows don't. */
#include <config.h>
#include "datapath/private.h"

#include <errno.h>

#include "coverage.h"
#include "datapath/addresses.h"
#include "datapath/dpif-private.h"
#include "datapath/upcall-queue.h"
#include "datapath/program.h"
#include "dp-packet.h"
#include "dpif.h"
#include "flow.h"
#include "odp-util.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "timeval.h"

VLOG_DEFINE_THIS_MODULE(datapath_upcall);

COVERAGE_DEFINE(datapath_upcall);
COVERAGE_DEFINE(datapath_upcall_disabled);

/* A service thread may spend one part in so many of its time in upcalls... */
#define UPCALL_SHARE 10

/* ...and save up so much of it, in us. */
#define UPCALL_CREDIT_MAX 20000

/* Space for the actions of most answers, in 8-byte words. */
#define ACTIONS_STUB (1024 / 8)

/* An answer. */
struct answer {
    struct ofpbuf actions;          /* For this packet... */
    struct ofpbuf put_actions;      /* ...and, if different, for the flow. */
    struct flow_wildcards wc;
    uint64_t actions_stub[ACTIONS_STUB];
    uint64_t put_stub[ACTIONS_STUB];
};

static void
answer_init(struct answer *answer)
{
    ofpbuf_use_stub(&answer->actions, answer->actions_stub,
                    sizeof answer->actions_stub);
    ofpbuf_use_stub(&answer->put_actions, answer->put_stub,
                    sizeof answer->put_stub);
}

static void
answer_uninit(struct answer *answer)
{
    ofpbuf_uninit(&answer->actions);
    ofpbuf_uninit(&answer->put_actions);
}

/* Makes an upcall.  Returns 0, ENOSPC if the answer is good for this packet but
 * must not be installed, or another positive errno value. */
static int
ask(struct datapath *dp, const struct dp_packet *packet,
    const struct flow *flow, ovs_u128 *ufid, enum dpif_upcall_type type,
    const struct nlattr *userdata, struct answer *answer)
{
    bool miss = type == DPIF_UC_MISS;
    int error;

    COVERAGE_INC(datapath_upcall);
    vhost_offline();
    if (fat_rwlock_tryrdlock(&dp->upcall_rwlock)) {
        COVERAGE_INC(datapath_upcall_disabled);
        error = EBUSY;
    } else {
        error = dp->upcall_cb
                ? dp->upcall_cb(packet, flow, ufid, datapath_pmd_id(dp), type,
                                userdata, &answer->actions,
                                miss ? &answer->wc : NULL,
                                miss ? &answer->put_actions : NULL,
                                dp->upcall_aux)
                : ENODEV;
        fat_rwlock_unlock(&dp->upcall_rwlock);
    }
    vhost_online();
    return error;
}

/* Makes the program of the answer.  That may have to wait until an uplink's
 * filter lets in what the program sends. */
static struct program *
make_program(const struct datapath *dp, const struct flow *flow,
             const struct ofpbuf *actions)
{
    vhost_offline();
    struct program *program = flow_program_create(dp, flow, actions->data,
                                                  actions->size);
    vhost_online();
    return program;
}

/* Installs the answer for packets like 'flow'. */
static void
install(struct datapath *dp, const struct flow *flow, const ovs_u128 *ufid,
        struct answer *answer)
{
    const struct ofpbuf *actions = answer->put_actions.size
                                   ? &answer->put_actions : &answer->actions;
    struct match match = { .flow = *flow, .wc = answer->wc };

    /* A megaflow that doesn't look at a packet's VLAN tag comes to libofproto
     * as one for untagged packets, since Netlink attributes can't say
     * otherwise: make it one.  dpif_flow_put() has to agree. */
    if (!match.wc.masks.vlans[0].tci) {
        match.wc.masks.vlans[0].tci = htons(VLAN_VID_MASK | VLAN_CFI);
    }

    struct program *program = make_program(dp, flow, actions);
    program_narrow(program, &match.wc);
    ovs_mutex_lock(&dp->flows.mutex);
    int error = megaflow_add(&dp->flows, &match, ufid, program);
    ovs_mutex_unlock(&dp->flows.mutex);
    if (error) {
        /* EEXIST: another thread was faster, with the same answer. */
        if (error != EEXIST) {
            static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);

            VLOG_WARN_RL(&rl, "%s: could not install a flow (%s)", dp->name,
                         ovs_strerror(error));
        }
        program_destroy(program);
    } else {
        dpif_flow_log_change(&match, ufid, NULL, actions->data,
                             actions->size);
    }
}

static void
count_lost(struct datapath *dp, struct dp_packet *packet,
           struct dp_thread *thread)
{
    struct port *in = datapath_port(dp, packet->md.in_port.odp_port);

    counter_add(&thread->cache_counters.lost, 1);
    if (in) {
        port_drop(in, DROP_UPCALL, 1, thread);
    }
}

/* --- Time -------------------------------------------------------------------*/

/* Returns true if 'thread' may make an upcall by itself. */
static bool
has_credit(struct dp_thread *thread)
{
    long long int now = time_usec();

    thread->upcall_credit += (now - thread->upcall_last) / UPCALL_SHARE;
    thread->upcall_credit = MIN(thread->upcall_credit, UPCALL_CREDIT_MAX);
    thread->upcall_last = now;
    return thread->upcall_credit > 0;
}

/* Takes the time since has_credit() was asked off the credit. */
static void
use_credit(struct dp_thread *thread)
{
    thread->upcall_credit -= time_usec() - thread->upcall_last;
}

/* Leaves 'packet' to the handlers if 'thread' is to make no more upcalls just
 * now, or packets of the same port are waiting for them already.  Returns true
 * if it took 'packet' over. */
static bool
leave_to_handlers(struct datapath *dp, struct dp_packet *packet,
                  struct dp_thread *thread)
{
    struct port *in = datapath_port(dp, packet->md.in_port.odp_port);

    if (!in || (!upcall_queue_has(dp->upcall_queue, in)
                && has_credit(thread))) {
        return false;
    }
    if (!upcall_queue_push(dp->upcall_queue, in, packet)) {
        counter_add(&thread->cache_counters.lost, 1);
        port_drop(in, DROP_UPCALL_QUEUE, 1, thread);
        dp_packet_delete(packet);
    }
    return true;
}

void
upcall_miss(struct datapath *dp, struct dp_packet *packet,
            const struct flow *flow, struct dp_thread *thread)
{
    struct answer answer;
    ovs_u128 ufid;

    counter_add(&thread->cache_counters.miss, 1);
    if (thread->service && leave_to_handlers(dp, packet, thread)) {
        return;
    }
    flow_note_source(dp, flow);
    /* What waits to be sent doesn't keep its ports while we are offline. */
    transmit_flush(thread);
    answer_init(&answer);
    memset(&answer.wc, 0, sizeof answer.wc);
    odp_flow_key_hash(flow, sizeof *flow, &ufid);

    int error = ask(dp, packet, flow, &ufid, DPIF_UC_MISS, NULL, &answer);
    if (error && error != ENOSPC) {
        count_lost(dp, packet, thread);
        dp_packet_delete(packet);
    } else {
        if (!error) {
            install(dp, flow, &ufid, &answer);
        }

        struct dp_packet_batch batch;
        dp_packet_batch_init_packet(&batch, packet);
        generic_execute(dp, &batch, true, flow, answer.actions.data,
                        answer.actions.size, thread);
    }
    answer_uninit(&answer);
    if (thread->service) {
        use_credit(thread);
    }
}

void
upcall_action(struct datapath *dp, struct dp_packet *packet, bool steal,
              const struct nlattr *userdata, struct dp_thread *thread)
{
    struct answer answer;
    struct flow flow;
    ovs_u128 ufid;

    transmit_flush(thread);
    answer_init(&answer);
    flow_extract(packet, &flow);
    odp_flow_key_hash(&flow, sizeof flow, &ufid);

    int error = ask(dp, packet, &flow, &ufid, DPIF_UC_ACTION, userdata,
                    &answer);
    if (!error || error == ENOSPC) {
        struct dp_packet_batch batch;

        dp_packet_batch_init_packet(&batch, packet);
        generic_execute(dp, &batch, steal, &flow, answer.actions.data,
                        answer.actions.size, thread);
    } else {
        count_lost(dp, packet, thread);
        if (steal) {
            dp_packet_delete(packet);
        }
    }
    answer_uninit(&answer);
}

/* Upcalls: asking libofproto what to do with a packet.
 *
 * The thread that has the packet asks by itself, through the callback that
 * libofproto registers with a user-space datapath, then acts and installs the
 * answer as a megaflow.  It is offline as far as guest memory is concerned
 * meanwhile, since translation takes its time: so an upcall never holds up a
 * change of some guest's memory.
 *
 * A service thread may spend a tenth of its time so, with some credit for
 * bursts, and all of it while no other port has packets waiting for it.  Beyond
 * that its misses wait (see upcall-queue.c) for libofproto's handler threads or,
 * those of a guest's ring, which is polled again, for the thread's next turn;
 * and its neighbours' known flows don't.
 *
 * When as many are waiting as may, a guest's ring is not read any further: it
 * holds the packets better than we could.  But only if there is nothing to be
 * had from it than more of the same: packets of known flows among them must not
 * suffer from a scan on the same port, so then it's read on, and what finds no
 * flow is dropped. */
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
#define UPCALL_CREDIT_MAX 5000

/* Between looks after other sources it spends so much, in us, in upcalls... */
#define UPCALL_TURN 50

/* ...and looks at those that it polls so often. */
#define UPCALL_LOOK 20

/* Fewer known flows than this among a port's packets, in 1/256, don't count. */
#define KNOWN_FEW 16

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

/* Installs the answer for packets like 'flow'.  That may have to wait until an
 * uplink's filter lets in what is sent. */
static void
install(struct datapath *dp, const struct flow *flow, const ovs_u128 *ufid,
        struct answer *answer)
{
    const struct ofpbuf *actions = answer->put_actions.size
                                   ? &answer->put_actions : &answer->actions;
    struct match match = { .flow = *flow, .wc = answer->wc };

    dpif_flow_mask_vlan(&match);
    struct program *program = flow_program_create(dp, flow, actions->data,
                                                  actions->size);
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

/* Makes an upcall.  Returns 0, ENOSPC if the answer is good for this packet but
 * must not be installed, or another positive errno value. */
static int
ask(struct datapath *dp, const struct dp_packet *packet,
    const struct flow *flow, ovs_u128 *ufid, enum dpif_upcall_type type,
    const struct nlattr *userdata, struct answer *answer)
    OVS_REQ_RDLOCK(dp->upcall_rwlock)
{
    bool miss = type == DPIF_UC_MISS;

    COVERAGE_INC(datapath_upcall);
    if (!dp->upcall_cb) {
        return ENODEV;
    }
    dpif_flow_log_upcall(dp, packet, flow, type);
    return dp->upcall_cb(packet, flow, ufid, datapath_pmd_id(dp), type,
                         userdata, &answer->actions,
                         miss ? &answer->wc : NULL,
                         miss ? &answer->put_actions : NULL, dp->upcall_aux);
}

/* Asks libofproto what to do with 'packet' and, for a miss, installs the
 * answer.  Returns 0 or a positive errno value.
 *
 * Both in one: when libofproto has disabled upcalls, it counts on it that all
 * flows that it knows of are there, to be deleted. */
static int
ask_and_install(struct datapath *dp, const struct dp_packet *packet,
                const struct flow *flow, enum dpif_upcall_type type,
                const struct nlattr *userdata, struct answer *answer)
{
    ovs_u128 ufid;

    odp_flow_key_hash(flow, sizeof *flow, &ufid);
    if (fat_rwlock_tryrdlock(&dp->upcall_rwlock)) {
        COVERAGE_INC(datapath_upcall_disabled);
        return EBUSY;
    }
    vhost_offline();
    int error = ask(dp, packet, flow, &ufid, type, userdata, answer);
    if (!error && type == DPIF_UC_MISS) {
        install(dp, flow, &ufid, answer);
    }
    vhost_online();
    fat_rwlock_unlock(&dp->upcall_rwlock);
    return error == ENOSPC ? 0 : error;
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

/* Brings the credit of 'thread' up to date.  Returns true if it has any. */
static bool
has_credit(struct dp_thread *thread, long long int now)
{
    thread->upcall_credit += (now - thread->upcall_last) / UPCALL_SHARE;
    thread->upcall_credit = MIN(thread->upcall_credit, UPCALL_CREDIT_MAX);
    thread->upcall_last = now;
    return thread->upcall_credit > 0;
}

/* Returns true if nobody else wants the time of 'thread'. */
static bool
is_spare(struct dp_thread *thread, long long int now)
{
    if (now - thread->upcall_looked >= UPCALL_LOOK) {
        thread->upcall_looked = now;
        thread->upcall_spare = !vhost_thread_others_wait(thread->vhost);
    }
    return thread->upcall_spare;
}

/* Returns true if 'thread', a service thread, may make an upcall by itself. */
static bool
may_upcall(struct dp_thread *thread)
{
    if (vhost_thread_polling_us(thread->vhost) >= UPCALL_TURN) {
        return false;
    }
    long long int now = vhost_now_us();

    return has_credit(thread, now) || is_spare(thread, now);
}

/* Takes the time since may_upcall() was asked off the credit.  What was spare
 * leaves no debt. */
static void
use_credit(struct dp_thread *thread)
{
    long long int used = vhost_now_us() - thread->upcall_last;

    thread->upcall_credit = MAX(thread->upcall_credit - used, -used);
}

/* Leaves 'packet' to others if 'thread' is to make no more upcalls just now,
 * or packets of the same port are waiting already.  Returns true if it took
 * 'packet' over. */
static bool
leave_to_others(struct datapath *dp, struct dp_packet *packet,
                struct dp_thread *thread)
{
    struct port *in = datapath_port(dp, packet->md.in_port.odp_port);

    if (!in || (!upcall_queue_is_busy(dp->upcall_queue, in)
                && may_upcall(thread))) {
        return false;
    }
    if (!upcall_queue_push(dp->upcall_queue, in, packet)) {
        counter_add(&thread->cache_counters.lost, 1);
        port_drop(in, DROP_UPCALL_QUEUE, 1, thread);
        dp_packet_delete(packet);
    } else if (in->class != &port_vhost_class) {
        upcall_queue_kick(dp->upcall_queue);
    }
    return true;
}

bool
upcall_waits(const struct port *port)
{
    return upcall_queue_len(port->dp->upcall_queue, port);
}

unsigned int
upcall_serve(struct port *port, struct dp_thread *thread)
{
    struct datapath *dp = port->dp;
    struct dp_packet *packet;
    unsigned int n = 0;

    thread->upcall_serving = true;
    while (may_upcall(thread)
           && (packet = upcall_queue_pop(dp->upcall_queue)) != NULL) {
        generic_receive(dp, packet, thread);
        n++;
    }
    thread->upcall_serving = false;
    upcall_queue_done(dp->upcall_queue);
    if (n) {
        transmit_flush(thread);
    } else if (upcall_waits(port)) {
        upcall_queue_kick(dp->upcall_queue);
    }
    return n;
}

unsigned int
upcall_room(const struct port *port, unsigned int budget)
{
    unsigned int n = upcall_queue_len(port->dp->upcall_queue, port);

    if (OVS_LIKELY(!n)
        || __atomic_load_n(&port->miss_share, __ATOMIC_RELAXED)
           < 256 - KNOWN_FEW) {
        return budget;
    }
    return n + VHOST_BATCH <= UPCALL_QUEUE_LIMIT ? MIN(budget, VHOST_BATCH)
                                                 : 0;
}

void
upcall_note_misses(struct port *port, unsigned int n, unsigned int n_missed)
{
    int share = __atomic_load_n(&port->miss_share, __ATOMIC_RELAXED);

    if (n_missed || share) {
        int now = n_missed * 255 / n;
        int step = (now - share) / 8;

        share += step ? step : now > share ? 1 : now < share ? -1 : 0;
        __atomic_store_n(&port->miss_share, share, __ATOMIC_RELAXED);
    }
}

bool
upcall_is_hopeless(const struct port *port)
{
    return upcall_queue_len(port->dp->upcall_queue, port)
           >= UPCALL_QUEUE_LIMIT;
}

void
upcall_miss(struct datapath *dp, struct dp_packet *packet,
            const struct flow *flow, struct dp_thread *thread)
{
    struct answer answer;

    if (!thread->upcall_serving) {
        counter_add(&thread->cache_counters.miss, 1);
        if (thread->service && leave_to_others(dp, packet, thread)) {
            return;
        }
    }
    flow_note_source(dp, flow);
    /* What waits to be sent doesn't keep its ports while we are offline. */
    transmit_flush(thread);
    answer_init(&answer);
    memset(&answer.wc, 0, sizeof answer.wc);
    if (ask_and_install(dp, packet, flow, DPIF_UC_MISS, NULL, &answer)) {
        count_lost(dp, packet, thread);
        dp_packet_delete(packet);
    } else {
        struct dp_packet_batch batch;

        /* libofproto may have dealt with the packet by itself, but not if it
         * doesn't want the next one, too. */
        if (!answer.put_actions.size
            && actions_drop(answer.actions.data, answer.actions.size)) {
            generic_note_drop(dp, packet, DROP_ACTION, thread);
        }
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

    transmit_flush(thread);
    answer_init(&answer);
    flow_extract(packet, &flow);
    if (!ask_and_install(dp, packet, &flow, DPIF_UC_ACTION, userdata,
                         &answer)) {
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

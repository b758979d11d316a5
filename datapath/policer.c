/* Policers: token buckets for what a port sends or receives.
 *
 * A packet passes if there are tokens for all of it.  One that is longer than
 * the whole bucket, as a packet to be segmented may be, passes when the bucket
 * is full, and leaves a debt: so the rate is kept, and nothing is shut out. */
#include <config.h>
#include "datapath/policer.h"

#include "openvswitch/thread.h"
#include "ovs-rcu.h"
#include "util.h"

struct bucket {
    struct policer_limit limit;
    int64_t tokens;             /* In 1/1000000. */
};

struct policer {
    struct ovs_mutex mutex;     /* A port's queues may have several threads. */
    struct bucket bytes, excess, packets;
    long long int last;         /* When they were last filled, us. */
};

static void
bucket_init(struct bucket *bucket, const struct policer_limit *limit)
{
    /* So that the sums below don't overflow. */
    enum { MAX = INT32_MAX };

    bucket->limit.rate = MIN(limit->rate, (uint64_t) 1000 * MAX);
    bucket->limit.burst = MIN(limit->burst, MAX);
    bucket->tokens = bucket->limit.burst * 1000000;
}

static void
bucket_fill(struct bucket *bucket, long long int us)
{
    int64_t full = bucket->limit.burst * 1000000;

    bucket->tokens = MIN(full, bucket->tokens
                               + (int64_t) bucket->limit.rate * us);
}

static bool
bucket_has(const struct bucket *bucket, uint64_t n)
{
    return bucket->tokens >= (int64_t) MIN(n, bucket->limit.burst) * 1000000;
}

static void
bucket_take(struct bucket *bucket, uint64_t n)
{
    bucket->tokens -= n * 1000000;
}

struct policer *
policer_create(const struct policer_limit *bytes,
               const struct policer_limit *excess,
               const struct policer_limit *packets)
{
    struct policer *policer = xzalloc(sizeof *policer);

    ovs_mutex_init(&policer->mutex);
    bucket_init(&policer->bytes, bytes);
    bucket_init(&policer->excess, excess);
    bucket_init(&policer->packets, packets);
    return policer;
}

static void
policer_free(struct policer *policer)
{
    ovs_mutex_destroy(&policer->mutex);
    free(policer);
}

void
policer_destroy(struct policer *policer)
{
    if (policer) {
        ovsrcu_postpone(policer_free, policer);
    }
}

static bool
admit(struct policer *policer, uint32_t len)
{
    struct bucket *bytes = &policer->bytes;

    if (policer->packets.limit.rate && !bucket_has(&policer->packets, 1)) {
        return false;
    }
    if (bytes->limit.rate) {
        if (!bucket_has(bytes, len)) {
            bytes = &policer->excess;
            if (!bytes->limit.rate || !bucket_has(bytes, len)) {
                return false;
            }
        }
        bucket_take(bytes, len);
    }
    bucket_take(&policer->packets, 1);
    return true;
}

bool
policer_admit(struct policer *policer, uint32_t len, long long int now)
{
    ovs_mutex_lock(&policer->mutex);
    long long int us = now - policer->last;

    if (us > 0) {
        us = MIN(us, 1000000);
        bucket_fill(&policer->bytes, us);
        bucket_fill(&policer->excess, us);
        bucket_fill(&policer->packets, us);
        policer->last = now;
    }
    bool ok = admit(policer, len);
    ovs_mutex_unlock(&policer->mutex);
    return ok;
}

/* Token buckets that decide which packets may pass: see policer.c. */
#ifndef POLICER_H
#define POLICER_H 1

#include <stdbool.h>
#include <stdint.h>

struct policer;

/* 'rate' per second, of which 'burst' may come at once. */
struct policer_limit {
    uint64_t rate;                  /* 0: no limit. */
    uint64_t burst;
};

/* Returns a policer that admits packets up to a limit of bytes, or beyond that
 * up to another, 'excess', if that has a rate, and all of it up to a limit of
 * packets.  The caller frees it with policer_destroy(), after a grace period. */
struct policer *policer_create(const struct policer_limit *bytes,
                               const struct policer_limit *excess,
                               const struct policer_limit *packets);
void policer_destroy(struct policer *);

/* Returns true if a packet of 'len' bytes may pass at time 'now', in us.  Any
 * thread. */
bool policer_admit(struct policer *, uint32_t len, long long int now);

#endif /* policer.h */

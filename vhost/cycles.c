/* The rate of the counter of cycles.h, measured once against the clock. */
#include <config.h>
#include "vhost/cycles.h"

#include <pthread.h>

uint64_t cycles_per_us;

static uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

/* An interruption makes a short measurement wrong, but not its neighbours:
 * takes the one whose two ends were read in the least time. */
static void
measure(void)
{
    double best = 1000, best_error = 1e18;

    for (int i = 0; i < 4; i++) {
        uint64_t ns0 = clock_ns(), c0 = cycles_now(), ns1 = clock_ns();
        uint64_t ns2, c1, ns3;

        do {
            ns2 = clock_ns();
            c1 = cycles_now();
            ns3 = clock_ns();
        } while (ns3 - ns0 < 250000);

        double error = (ns1 - ns0) + (ns3 - ns2);
        if (error < best_error) {
            best_error = error;
            best = (c1 - c0) * 2000.0 / (ns2 + ns3 - ns0 - ns1);
        }
    }
    cycles_per_us = best > 1 ? best + .5 : 1;
}

void
cycles_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, measure);
}

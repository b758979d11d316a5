/* Time for the hot path: the processor's own counter, in its own unit, which
 * costs a few nanoseconds to read.  Private to vhost/. */
#ifndef VHOST_CYCLES_H
#define VHOST_CYCLES_H 1

#include <stdint.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

static inline uint64_t
cycles_now(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#elif defined(__aarch64__)
    uint64_t cycles;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(cycles));
    return cycles;
#else
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
#endif
}

/* Tells the processor that this is a loop that waits. */
static inline void
cycles_pause(void)
{
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The counter's rate.  cycles_init() measures it, in a millisecond; it must
 * have been called before anything that follows is used. */
extern uint64_t cycles_per_us;
void cycles_init(void);

static inline uint64_t
cycles_from_us(uint64_t us)
{
    return us * cycles_per_us;
}

static inline uint64_t
cycles_to_ns(uint64_t cycles)
{
    return cycles * 1000.0 / cycles_per_us;
}

#endif /* vhost/cycles.h */

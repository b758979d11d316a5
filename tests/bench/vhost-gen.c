/* vhost-gen: two vhost-user front-ends A and B in one thread, which send
 * frames through a switch that listens on two sockets, and count and check
 * what arrives.  See usage() for its options; what it prints is one line of
 * KEY=VALUE pairs.
 *
 * A figure counts only if the switch was the bottleneck: 'ringfull' is how
 * much of what was attempted found no free descriptor, and must be well above
 * 0. */
#include <config.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>
#include "frontend.h"

enum mode { UNI, BIDIRECTIONAL, LATENCY, IDLE };
static const char *const mode_names[] = { "uni", "bi", "latency", "idle" };

static struct traffic traffic = { .size = 64, .flows = 1 };
static enum mode mode = UNI;
static double seconds = 5, warm = 1, rate;
static unsigned int burst = 256, ring_size = 1024;
static struct frontend ends[2];
static double hz;                       /* Of the time stamp counter. */

static void __attribute__((noreturn))
usage(int status)
{
    fputs("usage: vhost-gen [OPTION]... SOCKET-A SOCKET-B\n"
          "  --size=N|mixed   bytes per frame (64); mixed: 64, 570, 1518\n"
          "  --flows=N|new    destination addresses (1); new: each frame\n"
          "                   has one that was not seen before\n"
          "  --whole          write and read whole payloads\n"
          "  --mode=uni|bi|latency|idle  A to B, both ways, one frame at a\n"
          "                   time, nothing (uni)\n"
          "  --ring=N         entries of a ring (1024)\n"
          "  --burst=N        frames made available at once (256)\n"
          "  --rate=N         frames per second (as many as possible)\n"
          "  --packed         packed rings\n"
          "  --iommu          behind an IOMMU whose map never changes\n"
          "  --seconds=N      measure for so long (5)...\n"
          "  --warm=N         ...after so long (1)\n",
          status ? stderr : stdout);
    exit(status);
}

static unsigned int
parse_number(const char *s, unsigned int min, unsigned int max)
{
    char *end;
    unsigned long n = strtoul(s, &end, 10);

    if (*end || n < min || n > max) {
        fprintf(stderr, "vhost-gen: %s is not a number from %u to %u\n", s,
                min, max);
        exit(EXIT_FAILURE);
    }
    return n;
}

static enum mode
parse_mode(const char *s)
{
    for (int i = 0; i < 4; i++) {
        if (!strcmp(s, mode_names[i])) {
            return i;
        }
    }
    usage(EXIT_FAILURE);
}

static void
parse_options(int argc, char *argv[])
{
    enum { SIZE = 1, FLOWS, WHOLE, MODE, RING, BURST, RATE, PACKED, IOMMU,
           SECONDS, WARM };
    static const struct option options[] = {
        { "size", required_argument, NULL, SIZE },
        { "flows", required_argument, NULL, FLOWS },
        { "whole", no_argument, NULL, WHOLE },
        { "mode", required_argument, NULL, MODE },
        { "ring", required_argument, NULL, RING },
        { "burst", required_argument, NULL, BURST },
        { "rate", required_argument, NULL, RATE },
        { "packed", no_argument, NULL, PACKED },
        { "iommu", no_argument, NULL, IOMMU },
        { "seconds", required_argument, NULL, SECONDS },
        { "warm", required_argument, NULL, WARM },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case SIZE:
            traffic.size = (strcmp(optarg, "mixed")
                            ? parse_number(optarg, 60, TRAFFIC_MAX_FRAME) : 0);
            break;
        case FLOWS:
            traffic.flows = (strcmp(optarg, "new")
                             ? parse_number(optarg, 1, 1 << 20) : 0);
            break;
        case WHOLE:
            traffic.whole = true;
            break;
        case MODE:
            mode = parse_mode(optarg);
            break;
        case RING:
            ring_size = parse_number(optarg, 64, FRONTEND_MAX_RING);
            if (ring_size & (ring_size - 1)) {
                usage(EXIT_FAILURE);
            }
            break;
        case BURST:
            burst = parse_number(optarg, 1, FRONTEND_MAX_RING);
            break;
        case RATE:
            rate = parse_number(optarg, 1, 1000000000);
            break;
        case PACKED:
            ends[0].packed = ends[1].packed = true;
            break;
        case IOMMU:
            ends[0].iommu = ends[1].iommu = true;
            break;
        case SECONDS:
            seconds = strtod(optarg, NULL);
            break;
        case WARM:
            warm = strtod(optarg, NULL);
            break;
        case 'h':
            usage(EXIT_SUCCESS);
        default:
            usage(EXIT_FAILURE);
        }
    }
    if (argc - optind != 2) {
        usage(EXIT_FAILURE);
    }
}

static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void
calibrate(void)
{
    double start = now();
    uint64_t ticks = __rdtsc();

    usleep(100000);
    hz = (__rdtsc() - ticks) / (now() - start);
}

/* Sends and receives for 'duration' seconds.  While 'learning', both ends send
 * a few frames now and then, so that a learning switch knows their addresses
 * and every flow has been seen. */
static void
run(double duration, bool learning)
{
    uint64_t t = __rdtsc();
    uint64_t end = t + duration * hz;
    uint64_t next_lesson = t, next_burst = t;
    uint64_t interval = rate > 0 ? hz * burst / rate : 0;

    while ((t = __rdtsc()) < end) {
        if (learning && t >= next_lesson) {
            frontend_send(&ends[1], ring_size);
            next_lesson = t + hz / 10;
        }
        if (t >= next_burst) {
            frontend_send(&ends[0], burst);
            if (mode == BIDIRECTIONAL) {
                frontend_send(&ends[1], burst);
            }
            next_burst += interval;
        }
        frontend_receive(&ends[1], 256);
        if (learning || mode == BIDIRECTIONAL) {
            frontend_receive(&ends[0], 256);
        }
    }
}

static double
cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
            + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
}

static void
measure_throughput(void)
{
    const struct frontend_stats *a = &ends[0].stats, *b = &ends[1].stats;
    double start, cpu, elapsed, received, sent;

    run(warm, true);
    run(0.1, false);
    memset(&ends[0].stats, 0, sizeof ends[0].stats);
    memset(&ends[1].stats, 0, sizeof ends[1].stats);
    start = now();
    cpu = cpu_seconds();
    run(seconds, false);
    elapsed = now() - start;
    cpu = cpu_seconds() - cpu;

    received = b->received + (mode == BIDIRECTIONAL ? a->received : 0);
    sent = a->sent + b->sent;
    double bytes = (traffic.size ? traffic.size
                    : (7 * 64 + 4 * 570 + 1518) / 12.);
    printf("mpps=%.3f gbps=%.2f sent=%.3f ringfull=%.0f lost=%lu reordered=%lu"
           " bad=%lu kicks=%lu gencpu=%.0f\n",
           received / elapsed / 1e6, received * bytes * 8 / elapsed / 1e9,
           sent / elapsed / 1e6,
           100 * (1 - sent / (a->attempted + b->attempted)),
           a->lost + b->lost, a->reordered + b->reordered,
           a->bad_length + b->bad_length, a->kicks + b->kicks,
           100 * cpu / elapsed);
}

static int
compare_ticks(const void *a_, const void *b_)
{
    uint64_t a = *(const uint64_t *) a_, b = *(const uint64_t *) b_;

    return a < b ? -1 : a > b;
}

/* One frame at a time from A to B, at 'rate' if given: how long each takes. */
static void
measure_latency(void)
{
    size_t max = 2000000, n = 0;
    uint64_t *ticks = malloc(max * sizeof *ticks);
    uint64_t end, lost = 0;

    run(warm / 10, true);
    usleep(10000);
    while (frontend_receive(&ends[1], 256)) {
        continue;
    }
    end = __rdtsc() + seconds * hz;
    while (__rdtsc() < end && n < max) {
        uint64_t start = __rdtsc();
        uint64_t t = start;

        frontend_send(&ends[0], 1);
        while (!frontend_receive(&ends[1], 256)) {
            t = __rdtsc();
            if (t - start > hz / 10) {
                lost++;
                break;
            }
        }
        ticks[n++] = __rdtsc() - start;
        while (rate > 0 && __rdtsc() < start + hz / rate) {
            _mm_pause();
        }
    }
    qsort(ticks, n, sizeof *ticks, compare_ticks);
    printf("p50_us=%.2f p90_us=%.2f p99_us=%.2f p999_us=%.2f n=%zu lost=%lu\n",
           ticks[n / 2] / hz * 1e6, ticks[n * 9 / 10] / hz * 1e6,
           ticks[n * 99 / 100] / hz * 1e6, ticks[n * 999 / 1000] / hz * 1e6,
           n, lost);
    free(ticks);
}

int
main(int argc, char *argv[])
{
    parse_options(argc, argv);
    calibrate();
    traffic.first_flow = __rdtsc();
    for (int i = 0; i < 2; i++) {
        frontend_connect(&ends[i], argv[optind + i]);
    }
    for (int i = 0; i < 2; i++) {
        frontend_start(&ends[i], i, &traffic, ring_size);
    }
    for (int i = 0; i < 50 && ends[1].stats.received < 100; i++) {
        run(0.1, true);
    }
    if (!ends[1].stats.received) {
        fprintf(stderr, "vhost-gen: nothing gets through\n");
        return EXIT_FAILURE;
    }

    if (mode == IDLE) {
        sleep(seconds);
    } else if (mode == LATENCY) {
        measure_latency();
    } else {
        measure_throughput();
    }
    return EXIT_SUCCESS;
}

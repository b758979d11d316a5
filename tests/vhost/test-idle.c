/* Many guests that do nothing. */
#include <config.h>
#include "tests/vhost/test-vhost.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util.h"

/* A number from /proc/self/status, in KiB. */
static unsigned long
process_status(const char *key)
{
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long value = 0;
    char line[256];

    while (fgets(line, sizeof line, f)) {
        if (!strncmp(line, key, strlen(key))) {
            value = strtoul(line + strlen(key) + 1, NULL, 10);
        }
    }
    fclose(f);
    return value;
}

static unsigned long
cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return ((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000ul
            + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static struct idle_guest {
    struct vhost_device *device;
    struct front_end fe;
} idle_guests[1000];

static void
start_idle_guests(void)
{
    struct rlimit limit;
    char *base = path;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max = MAX(limit.rlim_max, 20000);
    setrlimit(RLIMIT_NOFILE, &limit);
    for (size_t i = 0; i < ARRAY_SIZE(idle_guests); i++) {
        struct idle_guest *g = &idle_guests[i];

        path = xasprintf("%s%"PRIuSIZE, base, i);
        create_device();
        g->device = device;
        fe_start(&g->fe, path, i % 2 ? SPLIT : PACKED, 2);
        FE_AWAIT(status().running);
        free(path);
    }
    path = base;
}

static void
stop_idle_guests(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(idle_guests); i++) {
        vhost_device_destroy(idle_guests[i].device, false);
        fe_close(&idle_guests[i].fe);
    }
}

/* Many connected guests that do nothing cost no CPU and little memory. */
void
test_idle(void)
{
    unsigned long before = process_status("RssAnon");
    start_idle_guests();
    unsigned long each = ((process_status("RssAnon") - before)
                          / ARRAY_SIZE(idle_guests));
    printf("%lu KiB for each guest\n", each);
    FE_CHECK(each <= 32);

    usleep(200000);
    unsigned long us = cpu_us();
    usleep(10000000);
    us = cpu_us() - us;
    printf("%lu us of CPU in 10 s\n", us);
    FE_CHECK(us <= 10000);
    stop_idle_guests();
}

static double
measure_load(struct front_end *fe)
{
    struct load load;

    load_start(&load, fe);
    usleep(200000);
    unsigned int before = __atomic_load_n(&load.n, __ATOMIC_RELAXED);
    usleep(1000000);
    unsigned int n = __atomic_load_n(&load.n, __ATOMIC_RELAXED) - before;
    load_stop(&load);
    return n / 1e6;
}

/* Not a test: prints how fast a busy guest is alone, and among idle ones. */
void
bench_neighbours(void)
{
    struct front_end fe;

    create_device();
    struct vhost_device *busy = device;
    fe_start(&fe, path, SPLIT, 2);
    FE_AWAIT(status().running);
    for (int i = 0; i < 3; i++) {
        double alone = measure_load(&fe);
        start_idle_guests();
        double among = measure_load(&fe);
        stop_idle_guests();
        printf("a busy guest sends %.2f M packets/s alone, %.2f among 1000 "
               "idle ones: %.2f\n", alone, among, among / alone);
    }
    fe_close(&fe);
    vhost_device_destroy(busy, false);
}

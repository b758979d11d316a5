/* Tests the pool of service threads through its public interface.
 *
 * Usage: test-pool TEST, where TEST is one of those at the end of this file.
 *
 * A source here is the back-end half of a miniature virtqueue: two
 * counters, a flag that asks for a kick, and an eventfd.  Its other half is
 * a "driver" that behaves as virtio 1.2 section 2.7.10 says: make
 * available, full fence, kick if asked to. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "random.h"
#include "util.h"
#include "vhost/vhost.h"

/* A lost wake-up is lost for ever; a busy machine only takes long. */
#define PATIENCE_MS 10000

struct queue {
    struct vhost_source source;
    char name[16];
    atomic_uint64_t avail;          /* Written by the driver. */
    atomic_uint64_t used;           /* Written by the source. */
    atomic_bool want_kick;
    atomic_bool gone;               /* Removed: must not be polled. */
    atomic_uint64_t last_poll;      /* When work was last found, ns. */
    unsigned int work_ns;           /* What a packet costs. */
    uint64_t sent[65536];           /* When packet i was sent, ns. */
    uint32_t *latency;              /* If nonnull: of packet i, ns. */
    uint64_t n_kicks;
};

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

static double
cpu_seconds(int who)
{
    struct rusage ru;

    getrusage(who, &ru);
    return (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec
            + (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
}

static void OVS_NO_RETURN OVS_PRINTF_FORMAT(1, 2)
fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    exit(1);
}

static void
spend(uint64_t ns)
{
    uint64_t end = now_ns() + ns;

    while (now_ns() < end) {
        continue;
    }
}

/* --- A queue's back-end half --------------------------------------------- */

static uint64_t
queue_backlog(struct queue *q)
{
    uint64_t avail, used;

    atomic_read_explicit(&q->avail, &avail, memory_order_acquire);
    atomic_read_relaxed(&q->used, &used);
    return avail - used;
}

static unsigned int
queue_poll(struct vhost_source *source, struct vhost_thread *thread OVS_UNUSED,
           unsigned int budget)
{
    struct queue *q = CONTAINER_OF(source, struct queue, source);
    uint64_t n = queue_backlog(q);
    uint64_t used;

    if (!n) {
        return 0;
    }

    bool gone;
    atomic_read_relaxed(&q->gone, &gone);
    if (gone) {
        fail("%s: polled after it was removed", q->name);
    }
    n = MIN(n, budget);
    if (q->work_ns) {
        spend(n * q->work_ns);
    }

    uint64_t now = now_ns();
    atomic_read_relaxed(&q->used, &used);
    for (uint64_t i = used; q->latency && i < used + n; i++) {
        q->latency[i] = now - q->sent[i % ARRAY_SIZE(q->sent)];
    }
    atomic_store_relaxed(&q->last_poll, now);
    atomic_store_explicit(&q->used, used + n, memory_order_release);
    return n;
}

static void
queue_arm(struct vhost_source *source)
{
    struct queue *q = CONTAINER_OF(source, struct queue, source);

    atomic_store_relaxed(&q->want_kick, true);
}

static void
queue_disarm(struct vhost_source *source)
{
    struct queue *q = CONTAINER_OF(source, struct queue, source);

    atomic_store_relaxed(&q->want_kick, false);
}

static bool
queue_pending(struct vhost_source *source)
{
    return queue_backlog(CONTAINER_OF(source, struct queue, source)) != 0;
}

static const struct vhost_source_ops queue_ops = {
    .poll = queue_poll,
    .arm = queue_arm,
    .disarm = queue_disarm,
    .pending = queue_pending,
};

static struct queue *
queue_create(int i)
{
    struct queue *q = xzalloc(sizeof *q);

    snprintf(q->name, sizeof q->name, "q%d", i);
    q->source = (struct vhost_source) {
        .ops = &queue_ops,
        .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
        .numa_node = -1,
        .name = q->name,
    };
    if (q->source.fd < 0) {
        fail("eventfd: %s", ovs_strerror(errno));
    }
    return q;
}

static void
queue_destroy(struct queue *q)
{
    close(q->source.fd);
    free(q->latency);
    free(q);
}

/* --- Its driver half ----------------------------------------------------- */

static void
queue_kick(struct queue *q)
{
    q->n_kicks++;
    ignore(eventfd_write(q->source.fd, 1));
}

static void
queue_send(struct queue *q, unsigned int n)
{
    uint64_t avail;
    bool kick;

    atomic_read_relaxed(&q->avail, &avail);
    if (q->latency) {
        uint64_t now = now_ns();

        for (unsigned int i = 0; i < n; i++) {
            q->sent[(avail + i) % ARRAY_SIZE(q->sent)] = now;
        }
    }
    atomic_store_explicit(&q->avail, avail + n, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    atomic_read_relaxed(&q->want_kick, &kick);
    if (kick) {
        queue_kick(q);
    }
}

/* Waits until everything sent has been taken. */
static void
queue_drain(struct queue *q)
{
    uint64_t deadline = now_ns() + PATIENCE_MS * UINT64_C(1000000);

    while (queue_backlog(q)) {
        if (now_ns() > deadline) {
            fail("%s: %"PRIu64" packets were not taken within %d ms",
                 q->name, queue_backlog(q), PATIENCE_MS);
        }
        sched_yield();
    }
}

static uint64_t
queue_used(struct queue *q)
{
    uint64_t used;

    atomic_read_relaxed(&q->used, &used);
    return used;
}

/* --- A pool -------------------------------------------------------------- */

static struct vhost_pool *
create_pool(unsigned int n_threads, const char *cpus)
{
    struct vhost_pool_config config = {
        .n_threads = n_threads,
        .cpus = cpus,
        .name = "service",
    };
    struct vhost_pool *pool;
    char *error;

    if (vhost_pool_create(&config, &pool, &error)) {
        fail("cannot create pool: %s", error);
    }
    return pool;
}

static struct vhost_thread_stats
thread_stats(struct vhost_pool *pool)
{
    struct vhost_thread_stats total = { .name = "all" };
    size_t n;
    struct vhost_thread_stats *stats = vhost_pool_thread_stats(pool, &n);

    for (size_t i = 0; i < n; i++) {
        total.n_sources += stats[i].n_sources;
        total.polls += stats[i].polls;
        total.hits += stats[i].hits;
        total.packets += stats[i].packets;
        total.sleeps += stats[i].sleeps;
        total.wakeups += stats[i].wakeups;
        total.busy_ns += stats[i].busy_ns;
        total.spin_ns += stats[i].spin_ns;
        total.migrations += stats[i].migrations;
    }
    free(stats);
    return total;
}

static void
remove_queue(struct vhost_pool *pool, struct queue *q)
{
    vhost_pool_remove(pool, &q->source);
    atomic_store_relaxed(&q->gone, true);
}

/* A thread that keeps queues full until told to stop. */
struct feeder {
    struct queue **queues;
    size_t n;
    atomic_bool stop;
    pthread_t pthread;
};

static void *
feeder_main(void *feeder_)
{
    struct feeder *feeder = feeder_;

    for (;;) {
        bool stop;

        atomic_read_relaxed(&feeder->stop, &stop);
        if (stop) {
            return NULL;
        }
        for (size_t i = 0; i < feeder->n; i++) {
            struct queue *q = feeder->queues[i];
            uint64_t backlog = queue_backlog(q);

            if (backlog < 1024) {
                queue_send(q, 1024 - backlog);
            }
        }
        usleep(50);
    }
}

static void
feeder_start(struct feeder *feeder, struct queue **queues, size_t n)
{
    feeder->queues = queues;
    feeder->n = n;
    atomic_init(&feeder->stop, false);
    feeder->pthread = ovs_thread_create("feeder", feeder_main, feeder);
}

static void
feeder_stop(struct feeder *feeder)
{
    atomic_store_relaxed(&feeder->stop, true);
    xpthread_join(feeder->pthread, NULL);
}

/* --- Tests --------------------------------------------------------------- */

/* No wake-up is lost, whatever the time between packets. */
static void
test_wake(void)
{
    struct vhost_pool *pool = create_pool(1, NULL);
    struct queue *q = queue_create(0);
    uint64_t end = now_ns() + UINT64_C(4000000000);
    uint64_t n = 0;

    vhost_pool_add(pool, &q->source);
    while (now_ns() < end) {
        queue_send(q, 1 + random_range(3));
        queue_drain(q);
        spend(random_range(random_range(2) ? 300000 : 12000));
        n++;
    }
    struct vhost_thread_stats stats = thread_stats(pool);
    printf("%"PRIu64" sent, %"PRIu64" sleeps, %"PRIu64" wakeups, "
           "%"PRIu64" kicks\n", n, stats.sleeps, stats.wakeups, q->n_kicks);
    if (stats.sleeps < n / 10 || stats.packets != queue_used(q)) {
        fail("%"PRIu64" packets counted, %"PRIu64" taken; %"PRIu64" sleeps",
             stats.packets, queue_used(q), stats.sleeps);
    }
    remove_queue(pool, q);
    queue_destroy(q);
    vhost_pool_destroy(pool);
}

/* A thousand idle sources use no CPU. */
static void
test_idle(void)
{
    enum { N = 1000 };
    struct vhost_pool *pool = create_pool(2, NULL);
    struct queue *queues[N];

    for (int i = 0; i < N; i++) {
        queues[i] = queue_create(i);
        vhost_pool_add(pool, &queues[i]->source);
    }
    for (int i = 0; i < N; i++) {
        queue_send(queues[i], 1);
        queue_drain(queues[i]);
    }
    usleep(100000);

    double before = cpu_seconds(RUSAGE_SELF);
    uint64_t sleeps = thread_stats(pool).sleeps;
    usleep(3000000);
    double used = cpu_seconds(RUSAGE_SELF) - before;
    uint64_t woken = thread_stats(pool).sleeps - sleeps;
    printf("%.1f ms CPU in 3 s, woken %"PRIu64" times\n", used * 1e3, woken);
    if (used > .003 || woken) {
        fail("idle sources cost CPU");
    }
    for (int i = 0; i < N; i++) {
        remove_queue(pool, queues[i]);
        queue_destroy(queues[i]);
    }
    vhost_pool_destroy(pool);
}

/* Sources come and go under load, from several threads; threads come and go
 * meanwhile, too. */
struct churner {
    struct vhost_pool *pool;
    uint64_t end;
    int id;
    uint64_t n;
    uint64_t longest;
};

static void *
churner_main(void *churner_)
{
    struct churner *churner = churner_;

    while (now_ns() < churner->end) {
        struct queue *q = queue_create(churner->id);
        bool first = random_range(2);

        if (first) {
            queue_send(q, 5);
        }
        vhost_pool_add(churner->pool, &q->source);
        if (random_range(2)) {
            usleep(random_range(300));
        }
        if (!first) {
            queue_send(q, 5);
        }
        if (random_range(2)) {
            queue_drain(q);
        }

        uint64_t start = now_ns();
        remove_queue(churner->pool, q);
        churner->longest = MAX(churner->longest, now_ns() - start);
        queue_send(q, 1);
        churner->n++;
        if (random_range(2)) {
            usleep(random_range(300));
        }
        queue_destroy(q);
    }
    return NULL;
}

static void
test_churn(void)
{
    struct vhost_pool *pool = create_pool(2, NULL);
    struct queue *busy[3];
    struct feeder feeder;
    struct churner churners[3];
    pthread_t threads[3];
    uint64_t end = now_ns() + UINT64_C(3000000000);

    for (size_t i = 0; i < ARRAY_SIZE(busy); i++) {
        busy[i] = queue_create(100 + i);
        busy[i]->work_ns = 200;
        vhost_pool_add(pool, &busy[i]->source);
    }
    feeder_start(&feeder, busy, ARRAY_SIZE(busy));
    for (size_t i = 0; i < ARRAY_SIZE(churners); i++) {
        churners[i] = (struct churner) { .pool = pool, .end = end, .id = i };
        threads[i] = ovs_thread_create("churn", churner_main, &churners[i]);
    }
    while (now_ns() < end) {
        char *error;

        if (vhost_pool_set_threads(pool, 1 + random_range(4), NULL, &error)) {
            fail("set_threads: %s", error);
        }
        usleep(random_range(20000));
    }
    for (size_t i = 0; i < ARRAY_SIZE(churners); i++) {
        xpthread_join(threads[i], NULL);
        printf("%"PRIu64" rounds, longest removal %.1f ms\n", churners[i].n,
               churners[i].longest / 1e6);
    }
    feeder_stop(&feeder);
    for (size_t i = 0; i < ARRAY_SIZE(busy); i++) {
        queue_drain(busy[i]);
        printf("%s: %"PRIu64" packets\n", busy[i]->name, queue_used(busy[i]));
        remove_queue(pool, busy[i]);
        queue_destroy(busy[i]);
    }
    if (thread_stats(pool).n_sources) {
        fail("sources remain");
    }
    vhost_pool_destroy(pool);
}

/* More busy sources than the hot set holds: each gets its share. */
static void
test_fair(void)
{
    enum { N = 100 };
    struct vhost_pool *pool = create_pool(1, NULL);
    struct queue *queues[N];
    uint64_t before[N], least = UINT64_MAX, most = 0;
    struct feeder feeder;

    for (int i = 0; i < N; i++) {
        queues[i] = queue_create(i);
        queues[i]->work_ns = i % 4 ? 200 : 800;
        vhost_pool_add(pool, &queues[i]->source);
    }
    feeder_start(&feeder, queues, N);
    usleep(500000);
    for (int i = 0; i < N; i++) {
        before[i] = queue_used(queues[i]) * queues[i]->work_ns;
    }
    usleep(2000000);
    for (int i = 0; i < N; i++) {
        uint64_t n = queue_used(queues[i]) * queues[i]->work_ns - before[i];

        least = MIN(least, n);
        most = MAX(most, n);
    }
    printf("least %"PRIu64" us, most %"PRIu64" us\n",
           least / 1000, most / 1000);
    feeder_stop(&feeder);
    for (int i = 0; i < N; i++) {
        queue_drain(queues[i]);
        remove_queue(pool, queues[i]);
        queue_destroy(queues[i]);
    }
    vhost_pool_destroy(pool);
    if (least < most / 3) {
        fail("unfair");
    }
}

/* A source that has nothing but kicks all the time costs little. */
static void
test_flood(void)
{
    struct vhost_pool *pool = create_pool(1, NULL);
    struct queue *evil = queue_create(0), *good = queue_create(1);
    uint64_t start = now_ns(), n = 0;

    vhost_pool_add(pool, &evil->source);
    vhost_pool_add(pool, &good->source);
    while (now_ns() < start + UINT64_C(2000000000)) {
        queue_kick(evil);
        if (!(++n % 1024)) {
            queue_send(good, 1);
            queue_drain(good);
        }
    }
    uint64_t elapsed = now_ns() - start;
    struct vhost_thread_stats stats = thread_stats(pool);
    double own = cpu_seconds(RUSAGE_SELF) - cpu_seconds(RUSAGE_THREAD);
    printf("%"PRIu64" kicks, %"PRIu64" wakeups, %.1f %% CPU\n", n,
           stats.wakeups, own * 1e11 / elapsed);
    if (stats.wakeups > n / 20) {
        fail("each kick wakes the thread");
    }

    /* It ends when the flood does. */
    usleep(100000);
    uint64_t sleeps = thread_stats(pool).sleeps;
    usleep(500000);
    if (thread_stats(pool).sleeps != sleeps) {
        fail("the thread goes on waking up");
    }
    queue_send(evil, 1);
    queue_drain(evil);
    remove_queue(pool, evil);
    remove_queue(pool, good);
    queue_destroy(evil);
    queue_destroy(good);
    vhost_pool_destroy(pool);
}

/* Something other than an eventfd as a kick descriptor, or none. */
static void
test_unwatchable(void)
{
    struct vhost_pool *pool = create_pool(1, NULL);
    struct queue *none = queue_create(0), *file = queue_create(1);
    FILE *stream = tmpfile();

    none->source.fd = -1;
    file->source.fd = fileno(stream);
    vhost_pool_add(pool, &none->source);
    vhost_pool_add(pool, &file->source);
    for (int i = 0; i < 100; i++) {
        queue_send(none, 1);
        queue_send(file, 1);
        usleep(random_range(5000));
        queue_drain(none);
        queue_drain(file);
    }
    remove_queue(pool, none);
    remove_queue(pool, file);
    fclose(stream);
    free(none);
    free(file);
    vhost_pool_destroy(pool);
}

/* Load that is uneven evens out. */
static void
test_balance(void)
{
    enum { N = 8 };
    struct vhost_pool *pool = create_pool(1, NULL);
    struct queue *queues[N];
    struct vhost_thread_stats *stats;
    struct feeder feeder;
    uint64_t deadline = now_ns() + 3 * PATIENCE_MS * UINT64_C(1000000);
    char *error;
    size_t n;

    for (int i = 0; i < N; i++) {
        queues[i] = queue_create(i);
        queues[i]->work_ns = 1000;
        vhost_pool_add(pool, &queues[i]->source);
    }
    feeder_start(&feeder, queues, N);
    if (vhost_pool_set_threads(pool, 2, NULL, &error)) {
        fail("set_threads: %s", error);
    }
    for (;;) {
        stats = vhost_pool_thread_stats(pool, &n);
        unsigned int a = stats[0].n_sources, b = stats[1].n_sources;
        free(stats);
        if (a && b && MAX(a, b) <= N - 2) {
            printf("%u and %u sources\n", a, b);
            break;
        }
        if (now_ns() > deadline) {
            fail("%u and %u sources, and that is all", a, b);
        }
        usleep(10000);
    }
    feeder_stop(&feeder);
    for (int i = 0; i < N; i++) {
        queue_drain(queues[i]);
        remove_queue(pool, queues[i]);
        queue_destroy(queues[i]);
    }
    vhost_pool_destroy(pool);
}

/* Guest memory can be replaced under load, soon. */
static int
compare_u32(const void *a_, const void *b_)
{
    const uint32_t *a = a_, *b = b_;

    return *a < *b ? -1 : *a > *b;
}

static void
test_synchronize(void)
{
    enum { N = 500 };
    struct vhost_pool *pool = create_pool(1, NULL);
    struct queue *queues[4];
    struct feeder feeder;
    uint32_t took[N];

    for (int i = 0; i < 4; i++) {
        queues[i] = queue_create(i);
        queues[i]->work_ns = 500;
        vhost_pool_add(pool, &queues[i]->source);
    }
    feeder_start(&feeder, queues, 4);
    for (int i = 0; i < N; i++) {
        uint64_t start = now_ns();

        vhost_synchronize();
        took[i] = now_ns() - start;
        usleep(1000);
    }
    qsort(took, N, sizeof took[0], compare_u32);
    printf("p50 %.1f us, p99 %.1f us\n", took[N / 2] / 1e3,
           took[N * 99 / 100] / 1e3);
    feeder_stop(&feeder);
    for (int i = 0; i < 4; i++) {
        remove_queue(pool, queues[i]);
        queue_destroy(queues[i]);
    }
    vhost_pool_destroy(pool);
    if (took[N / 2] > 1000000) { /* A median: the machine may be busy. */
        fail("too slow");
    }
}

/* With somebody else on the same CPU, waiting in vain doesn't take it away. */
static void *
hog_main(void *stop_)
{
    atomic_bool *stop = stop_;
    bool stopped;
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
    do {
        atomic_read_relaxed(stop, &stopped);
    } while (!stopped);
    return NULL;
}

static void
test_overcommit(void)
{
    struct vhost_pool *pool = create_pool(1, "0");
    struct queue *q = queue_create(0);
    atomic_bool stop = false;
    pthread_t hog = ovs_thread_create("hog", hog_main, &stop);
    uint64_t start = now_ns(), end = start + UINT64_C(3000000000);
    struct vhost_thread_stats before = thread_stats(pool);

    vhost_pool_add(pool, &q->source);
    for (uint64_t t = start; t < end; t += 40000) {
        queue_send(q, 1);
        while (now_ns() < t) {
            sched_yield();
        }
    }
    struct vhost_thread_stats after = thread_stats(pool);
    double spin = (double) (after.spin_ns - before.spin_ns) / (end - start);
    printf("%.1f %% of the CPU spent waiting\n", spin * 100);
    atomic_store_relaxed(&stop, true);
    xpthread_join(hog, NULL);
    remove_queue(pool, q);
    queue_destroy(q);
    vhost_pool_destroy(pool);
    if (spin > .2) {
        fail("polls although the CPU is wanted by others");
    }
}

/* Bad parameters are refused in words. */
static void
test_config(void)
{
    static const char *const bad[] = {
        "x", "1-", "-1", "3-1", "0,", ",0", "99999", "1000", "0 1",
    };
    struct vhost_pool *pool = create_pool(1, "0");
    char *error;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (!vhost_pool_set_threads(pool, 1, bad[i], &error)) {
            fail("CPU list \"%s\" was accepted", bad[i]);
        }
        printf("%s\n", error);
        free(error);
    }
    if (!vhost_pool_set_threads(pool, 0, NULL, &error)) {
        fail("0 threads were accepted");
    }
    printf("%s\n", error);
    free(error);
    vhost_pool_destroy(pool);
}

/* Not a test: prints latency and CPU use at some rates. */
static void
bench_latency(void)
{
    static const unsigned int rates[] = { 0, 1000, 5000, 20000, 100000 };

    for (size_t r = 0; r < ARRAY_SIZE(rates); r++) {
        struct vhost_pool *pool = create_pool(1, "1");
        struct queue *q = queue_create(0);
        size_t n = MAX(2 * rates[r], 1);

        q->latency = xcalloc(n, sizeof *q->latency);
        vhost_pool_add(pool, &q->source);
        usleep(50000);

        double before = cpu_seconds(RUSAGE_SELF) - cpu_seconds(RUSAGE_THREAD);
        uint64_t start = now_ns(), t = start;
        for (size_t i = 0; rates[r] && i < n; i++) {
            while (now_ns() < t) {
                continue;
            }
            queue_send(q, 1);
            t += 1000000000 / rates[r];
        }
        if (!rates[r]) {
            usleep(2000000);
        }
        queue_drain(q);
        double cpu = (cpu_seconds(RUSAGE_SELF) - cpu_seconds(RUSAGE_THREAD)
                      - before) * 1e11 / (now_ns() - start);
        struct vhost_thread_stats stats = thread_stats(pool);
        remove_queue(pool, q);
        qsort(q->latency, n, sizeof q->latency[0], compare_u32);
        printf("%7u/s: p50 %6.1f us, p99 %6.1f us, CPU %5.1f %%, "
               "%"PRIu64" sleeps\n", rates[r], q->latency[n / 2] / 1e3,
               q->latency[n * 99 / 100] / 1e3, cpu, stats.sleeps);
        queue_destroy(q);
        vhost_pool_destroy(pool);
    }
}

/* Not a test: prints what it costs to poll a source that has no work. */
static void
bench_empty(void)
{
    enum { N = 32 };
    struct vhost_pool *pool = create_pool(1, "1");
    struct queue *queues[N];

    for (int i = 0; i < N; i++) {
        queues[i] = queue_create(i);
        vhost_pool_add(pool, &queues[i]->source);
    }

    struct vhost_thread_stats before = thread_stats(pool);
    uint64_t start = now_ns();
    while (now_ns() < start + 1000000000) {
        queue_send(queues[random_range(N)], 1);
        spend(2000);
    }
    struct vhost_thread_stats after = thread_stats(pool);
    printf("%.1f ns per poll, of which 1 in %.0f found work, all included\n",
           (double) (now_ns() - start) / (after.polls - before.polls),
           (double) (after.polls - before.polls) / (after.hits - before.hits));
    for (int i = 0; i < N; i++) {
        remove_queue(pool, queues[i]);
        queue_destroy(queues[i]);
    }
    vhost_pool_destroy(pool);
}

/* Not a test: prints how fast a busy source is alone, and among idle ones. */
static void
bench_neighbours(void)
{
    enum { N = 1000 };
    struct vhost_pool *pool = create_pool(1, "1");
    struct queue *queues[N];
    struct queue *busy = queue_create(N);
    struct feeder feeder;

    busy->work_ns = 50;
    vhost_pool_add(pool, &busy->source);
    feeder_start(&feeder, &busy, 1);
    for (int round = 0; round < 6; round++) {
        int n = round % 2 ? N : 0;

        for (int i = 0; i < n; i++) {
            queues[i] = queue_create(i);
            vhost_pool_add(pool, &queues[i]->source);
        }
        usleep(200000);

        struct vhost_thread_stats before = thread_stats(pool);
        usleep(1000000);
        struct vhost_thread_stats after = thread_stats(pool);
        printf("%4d idle neighbours: busy %.1f ns per packet, "
               "%.2f M packets/s\n", n,
               (double) (after.busy_ns - before.busy_ns)
               / (after.packets - before.packets),
               (after.packets - before.packets) / 1e6);
        for (int i = 0; i < n; i++) {
            remove_queue(pool, queues[i]);
            queue_destroy(queues[i]);
        }
    }
    feeder_stop(&feeder);
    remove_queue(pool, busy);
    queue_destroy(busy);
    vhost_pool_destroy(pool);
}

/* Not a test: prints what it costs to add and remove a source. */
static void
bench_add(void)
{
    enum { N = 400, ROUNDS = 25 };
    struct vhost_pool *pool = create_pool(2, NULL);
    struct queue *queues[N];
    uint64_t add = 0, remove = 0;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t t0, t1, t2;

        for (int i = 0; i < N; i++) {
            queues[i] = queue_create(i);
        }
        t0 = now_ns();
        for (int i = 0; i < N; i++) {
            vhost_pool_add(pool, &queues[i]->source);
        }
        t1 = now_ns();
        for (int i = 0; i < N; i++) {
            vhost_pool_remove(pool, &queues[i]->source);
        }
        t2 = now_ns();
        add += t1 - t0;
        remove += t2 - t1;
        for (int i = 0; i < N; i++) {
            queue_destroy(queues[i]);
        }
    }
    printf("%.1f us to add, %.1f us to remove\n",
           add / 1e3 / (N * ROUNDS), remove / 1e3 / (N * ROUNDS));
    vhost_pool_destroy(pool);
}

int
main(int argc, char *argv[])
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        { "wake", test_wake },
        { "idle", test_idle },
        { "churn", test_churn },
        { "fair", test_fair },
        { "flood", test_flood },
        { "unwatchable", test_unwatchable },
        { "balance", test_balance },
        { "synchronize", test_synchronize },
        { "overcommit", test_overcommit },
        { "config", test_config },
        { "bench-latency", bench_latency },
        { "bench-add", bench_add },
        { "bench-empty", bench_empty },
        { "bench-neighbours", bench_neighbours },
    };

    set_program_name(argv[0]);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        if (argc == 2 && !strcmp(argv[1], tests[i].name)) {
            tests[i].run();
            return 0;
        }
    }
    fail("usage: %s TEST (see its source)", argv[0]);
}

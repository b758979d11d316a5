/* Statistics of the host for Open_vSwitch.statistics, when
 * other_config:enable-statistics asks for them.
 *
 * They are read from /proc and from the file systems, of which one may hang:
 * so by a thread of their own, which leaves its results for the main thread
 * and ends when they aren't wanted any more. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include <dirent.h>
#include <mntent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "daemon.h"
#include "dirs.h"
#include "latch.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"

#define INTERVAL_MSEC 5000
#define MAX_FILE_SYSTEMS 64

static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct latch results_latch;          /* Set with new 'results'. */
static struct smap *results OVS_GUARDED_BY(mutex);
static bool wanted OVS_GUARDED_BY(mutex);
static bool running OVS_GUARDED_BY(mutex);  /* The thread is there. */
static struct latch wanted_latch;           /* Set when 'wanted' changes. */

/* --- What is read -------------------------------------------------------- */

static void
add_cpu(struct smap *stats)
{
    long int n = sysconf(_SC_NPROCESSORS_ONLN);

    if (n > 0) {
        smap_add_format(stats, "cpu", "%ld", n);
    }
}

static void
add_load_average(struct smap *stats)
{
    double load[3];

    if (getloadavg(load, 3) == 3) {
        smap_add_format(stats, "load_average", "%.2f,%.2f,%.2f",
                        load[0], load[1], load[2]);
    }
}

/* Returns the number of kB that line 'name' of /proc/meminfo, or of another
 * file of that form, tells in 'text'; 0 if there is no such line. */
static unsigned long long int
get_kb(const char *text, const char *name)
{
    const char *line = strstr(text, name);

    return line ? strtoull(line + strlen(name), NULL, 10) : 0;
}

/* Reads 'path', of which 'size' - 1 bytes are enough, into 'text'. */
static bool
read_text(const char *path, char *text, size_t size)
{
    FILE *stream = fopen(path, "r");
    size_t n = stream ? fread(text, 1, size - 1, stream) : 0;

    if (stream) {
        fclose(stream);
    }
    text[n] = '\0';
    return n > 0;
}

static void
add_memory(struct smap *stats)
{
    char text[4096];

    if (!read_text("/proc/meminfo", text, sizeof text)) {
        return;
    }

    unsigned long long int total = get_kb(text, "MemTotal:");
    unsigned long long int swap = get_kb(text, "SwapTotal:");
    smap_add_format(stats, "memory", "%llu,%llu,%llu,%llu,%llu", total,
                    total - MIN(total, get_kb(text, "MemFree:")),
                    get_kb(text, "Buffers:") + get_kb(text, "\nCached:"),
                    swap, swap - MIN(swap, get_kb(text, "SwapFree:")));
}

/* The numbers of /proc/PID/stat that we want: see proc(5). */
struct process {
    int parent;
    unsigned long long int utime, stime, start; /* In clock ticks. */
    unsigned long long int vsize;               /* In bytes... */
    long long int rss;                          /* ...and pages. */
};

static bool
read_process(int pid, struct process *p)
{
    char *path = xasprintf("/proc/%d/stat", pid);
    char text[1024];
    bool ok = read_text(path, text, sizeof text);
    const char *rest = ok ? strrchr(text, ')') : NULL;

    free(path);
    return rest && sscanf(rest + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u "
                          "%*u %llu %llu %*d %*d %*d %*d %*d %*d %llu %llu "
                          "%lld", &p->parent, &p->utime, &p->stime,
                          &p->start, &p->vsize, &p->rss) == 6;
}

/* Returns true if process 'pid' monitors another one (--monitor), and stores
 * how often that crashed in '*crashes'.  Its title tells. */
static bool
is_monitor(int pid, unsigned int *crashes)
{
    char *path = xasprintf("/proc/%d/cmdline", pid);
    const char *count;
    char text[256];

    *crashes = 0;
    read_text(path, text, sizeof text);
    free(path);
    if (!strstr(text, "monitoring pid")) {
        return false;
    }
    count = strchr(text, '(');
    if (!count || !ovs_scan(count, "(%u crashes", crashes)) {
        *crashes = 0;
    }
    return true;
}

static void
add_process(struct smap *stats, const char *name, int pid,
            unsigned long long int uptime_ms)
{
    long int hz = sysconf(_SC_CLK_TCK);
    struct process p, monitor;
    unsigned int crashes;

    if (!read_process(pid, &p)) {
        return;
    }
    unsigned long long int up = uptime_ms - p.start * 1000 / hz;
    unsigned long long int booted = up;
    if (is_monitor(p.parent, &crashes) && read_process(p.parent, &monitor)) {
        booted = uptime_ms - monitor.start * 1000 / hz;
    }

    char *key = xasprintf("process_%s", name);
    smap_add_format(stats, key, "%llu,%lld,%llu,%u,%llu,%llu", p.vsize / 1024,
                    p.rss * (get_page_size() / 1024),
                    (p.utime + p.stime) * 1000 / hz, crashes, booted, up);
    free(key);
}

/* The daemons are those with a pidfile in the run directory. */
static void
add_processes(struct smap *stats)
{
    struct dirent *entry;
    DIR *dir = opendir(ovs_rundir());
    char text[64];
    double uptime;

    if (!dir) {
        return;
    }
    if (read_text("/proc/uptime", text, sizeof text)
        && sscanf(text, "%lf", &uptime) == 1) {
        while ((entry = readdir(dir)) != NULL) {
            size_t len = strlen(entry->d_name);

            if (len > 4 && !strcmp(&entry->d_name[len - 4], ".pid")) {
                char *file = xasprintf("%s/%s", ovs_rundir(), entry->d_name);
                pid_t pid = read_pidfile(file);

                entry->d_name[len - 4] = '\0';
                if (pid > 0) {
                    add_process(stats, entry->d_name, pid, uptime * 1000);
                }
                free(file);
            }
        }
    }
    closedir(dir);
}

static void
put_file_system(struct ds *ds, const struct mntent *me,
                const struct statvfs *vfs)
{
    unsigned long long int block = vfs->f_frsize ? vfs->f_frsize
                                                 : vfs->f_bsize;
    unsigned long long int used = vfs->f_blocks - vfs->f_bfree;

    if (ds->length) {
        ds_put_char(ds, ' ');
    }
    for (const char *p = me->mnt_dir; *p; p++) {
        ds_put_char(ds, *p == ' ' || *p == ',' ? '_' : *p);
    }
    ds_put_format(ds, ",%llu,%llu", vfs->f_blocks * block / 1024,
                  used * block / 1024);
}

/* The local file systems that can be written to: those of a block device,
 * each once. */
static void
add_file_systems(struct smap *stats)
{
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    unsigned long int seen[MAX_FILE_SYSTEMS];
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct mntent buffer, *me;
    size_t n = 0;
    char text[4096];

    if (!mounts) {
        return;
    }
    while (n < MAX_FILE_SYSTEMS
           && (me = getmntent_r(mounts, &buffer, text, sizeof text))) {
        struct statvfs vfs;
        size_t i = 0;

        if (me->mnt_fsname[0] != '/' || hasmntopt(me, MNTOPT_RO)
            || statvfs(me->mnt_dir, &vfs) || !vfs.f_blocks) {
            continue;
        }
        while (i < n && seen[i] != vfs.f_fsid) {
            i++;
        }
        if (i == n) {
            seen[n++] = vfs.f_fsid;
            put_file_system(&ds, me, &vfs);
        }
    }
    endmntent(mounts);
    if (ds.length) {
        smap_add(stats, "file_systems", ds_cstr(&ds));
    }
    ds_destroy(&ds);
}

/* --- The thread ---------------------------------------------------------- */

static void
collect(void)
{
    struct smap *stats = xmalloc(sizeof *stats);

    smap_init(stats);
    add_cpu(stats);
    add_load_average(stats);
    add_memory(stats);
    add_processes(stats);
    add_file_systems(stats);

    ovs_mutex_lock(&mutex);
    if (results) {
        smap_destroy(results);
        free(results);
    }
    results = stats;
    ovs_mutex_unlock(&mutex);
    latch_set(&results_latch);
}

/* Returns true if the thread is to go on. */
static bool
is_wanted(void)
{
    latch_poll(&wanted_latch);
    ovs_mutex_lock(&mutex);
    running = wanted;
    ovs_mutex_unlock(&mutex);
    return running;
}

static void *
system_stats_main(void *aux OVS_UNUSED)
{
    pthread_detach(pthread_self());
    while (is_wanted()) {
        ovsrcu_quiesce_start();
        collect();
        ovsrcu_quiesce_end();
        latch_wait(&wanted_latch);
        poll_timer_wait(INTERVAL_MSEC);
        poll_block();
    }
    return NULL;
}

static void
set_wanted(bool want)
{
    static bool initialized;

    if (!initialized) {
        latch_init(&results_latch);
        latch_init(&wanted_latch);
        initialized = true;
    }
    ovs_mutex_lock(&mutex);
    if (wanted != want) {
        wanted = want;
        latch_set(&wanted_latch);
    }
    if (want && !running) {
        running = true;
        ovs_thread_create("system_stats", system_stats_main, NULL);
    }
    ovs_mutex_unlock(&mutex);
}

/* --- The main thread ----------------------------------------------------- */

static bool enabled;

/* Begins or ends the collection of what 'root' asks for. */
void
system_stats_configure(const struct ovsrec_open_vswitch *root)
{
    bool enable = smap_get_bool(&root->other_config, "enable-statistics",
                                false);

    if (enable || enabled) {
        enabled = enable;
        set_wanted(enable);
    }
    if (!enable) {
        ovsrec_open_vswitch_set_statistics(root, NULL);
    }
}

/* Writes what was collected to the database, in the transaction that is
 * open. */
void
system_stats_run(const struct ovsrec_open_vswitch *root)
{
    if (enabled && latch_poll(&results_latch)) {
        ovs_mutex_lock(&mutex);
        struct smap *stats = results;
        results = NULL;
        ovs_mutex_unlock(&mutex);

        if (stats) {
            ovsrec_open_vswitch_set_statistics(root, stats);
            smap_destroy(stats);
            free(stats);
        }
    }
}

/* Wakes poll_block() up for system_stats_run(). */
void
system_stats_wait(void)
{
    if (enabled) {
        latch_wait(&results_latch);
    }
}

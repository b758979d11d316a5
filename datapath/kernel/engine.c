/* The kernel engine's programs and maps: see kernel.h.
 *
 * They are loaded when the first kernel port is opened.  If that is not
 * possible (an old kernel, no permission) all is as without this engine, and
 * Interface.status says why.
 *
 * The files that keep maps and attachments are on a BPF file system:
 * /sys/fs/bpf where that is one, in a directory named after the run directory,
 * so that several daemons don't disturb each other; else one of our own,
 * mounted in the run directory. */
#include <config.h>
#include "datapath/kernel/engine.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "datapath/kernel/fastpath.skel.h"
#include "flow.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(kernel_engine);

#define DEFAULT_MAX_FLOWS 16384
#define MAX_MAX_FLOWS (1u << 20)

/* How long entries of the last daemon stay after upcalls began to be answered
 * and the last port was opened. */
#define LEFT_MSEC 3000

struct kernel_engine kernel_engine = {
    .enabled = true,
    .max_flows = DEFAULT_MAX_FLOWS,
};

static struct fastpath_bpf *skel;
static const char *run_dir;
static char *pin_dir;               /* NULL if nothing can be pinned. */
static char *mount_point;           /* Ours, if there is one. */
static char *problem;               /* Why it can't be used. */

/* When to remove what the last daemon left: LLONG_MAX if there is nothing, or
 * upcalls are not answered yet. */
static bool anything_left;
static long long int drop_left_at = LLONG_MAX;

void
kernel_engine_init(const char *rundir)
{
    run_dir = rundir;
}

/* --- Files -----------------------------------------------------------------*/

static bool
is_bpffs(const char *path)
{
    struct statfs fs;

    return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

/* The directory for our files, which the caller must free; NULL if there can
 * be none. */
static char *
make_pin_dir(void)
{
    if (is_bpffs("/sys/fs/bpf")) {
        char *name = xstrdup(run_dir + strspn(run_dir, "/"));

        for (char *p = name; *p; p++) {
            if (*p == '/' || *p == '.') {
                *p = '-';           /* The file system has no dots. */
            }
        }
        char *dir = xasprintf("/sys/fs/bpf/sluice/%s", name);
        free(name);
        mkdir("/sys/fs/bpf/sluice", 0700);
        if (!mkdir(dir, 0700) || errno == EEXIST) {
            return dir;
        }
        free(dir);
    }

    char *dir = xasprintf("%s/bpf", run_dir);
    mkdir(dir, 0700);
    if (is_bpffs(dir) || !mount("bpf", dir, "bpf", 0, "mode=0700")) {
        mount_point = xstrdup(dir);
        return dir;
    }
    VLOG_INFO("%s: cannot mount a BPF file system (%s): when this process "
              "ends, forwarding in the kernel ends", dir,
              ovs_strerror(errno));
    rmdir(dir);
    free(dir);
    return NULL;
}

/* Calls 'cb' for the files in our directory whose names begin with
 * 'prefix'. */
static void
for_each_pin(const char *prefix, void (*cb)(const char *path,
                                            const char *name))
{
    DIR *dir = pin_dir ? opendir(pin_dir) : NULL;
    struct dirent *de;

    while (dir && (de = readdir(dir)) != NULL) {
        if (de->d_name[0] != '.' && !strncmp(de->d_name, prefix,
                                             strlen(prefix))) {
            char *path = xasprintf("%s/%s", pin_dir, de->d_name);

            cb(path, de->d_name);
            free(path);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static void
remove_pin(const char *path, const char *name OVS_UNUSED)
{
    unlink(path);
}

static unsigned int n_links;

static void
count_link(const char *path OVS_UNUSED, const char *name OVS_UNUSED)
{
    n_links++;
}

char *
kernel_engine_link_path(int ifindex, bool egress)
{
    return pin_dir ? xasprintf("%s/link-%d-%s", pin_dir, ifindex,
                               egress ? "out" : "in")
                   : NULL;
}

/* Removes the directory and all that is in it. */
static void
remove_pin_dir(void)
{
    if (pin_dir) {
        for_each_pin("", remove_pin);
        if (mount_point) {
            umount2(mount_point, MNT_DETACH);
        }
        rmdir(pin_dir);
        rmdir("/sys/fs/bpf/sluice");
    }
}

/* --- Loading --------------------------------------------------------------- */

static int
log_libbpf(enum libbpf_print_level level OVS_UNUSED, const char *format,
           va_list args)
{
    if (VLOG_IS_DBG_ENABLED()) {
        char *s = xvasprintf(format, args);

        VLOG_DBG("%s", s);
        free(s);
    }
    return 0;
}

static void
set_map_sizes(void)
{
    kernel_engine.n_cpus = libbpf_num_possible_cpus();
    kernel_engine.n_flows = kernel_engine.max_flows;

    skel->rodata->n_flows = kernel_engine.n_flows;
    bpf_map__set_max_entries(skel->maps.flows, kernel_engine.n_flows);
    bpf_map__set_max_entries(skel->maps.by_hash, kernel_engine.n_flows);
    bpf_map__set_max_entries(skel->maps.stats,
                             kernel_engine.n_cpus * kernel_engine.n_flows);
    bpf_map__set_max_entries(skel->maps.counters,
                             kernel_engine.n_cpus * KERNEL_MAX_PORTS);
    bpf_map__set_max_entries(skel->maps.drops,
                             kernel_engine.n_cpus * KERNEL_DROP_RING);
}

static void
set_map_pins(void)
{
    struct bpf_map *map;

    bpf_object__for_each_map (map, skel->obj) {
        if (!bpf_map__is_internal(map)) {
            char *path = xasprintf("%s/map%d-%s", pin_dir, KERNEL_LAYOUT,
                                   bpf_map__name(map));

            bpf_map__set_pin_path(map, path);
            free(path);
        }
    }
}

/* Loads programs and maps, taking over pinned maps if 'take_over'.  Returns 0
 * or a positive errno value. */
static int
load(bool take_over)
{
    skel = fastpath_bpf__open();
    if (!skel) {
        return errno;
    }
    set_map_sizes();
    if (pin_dir) {
        if (!take_over) {
            for_each_pin("map", remove_pin);
        }
        set_map_pins();
    }

    int error = -fastpath_bpf__load(skel);
    if (error) {
        fastpath_bpf__destroy(skel);
        skel = NULL;
    }
    return error;
}

/* Maps all of the array 'map' into memory. */
static void *
map_array(const struct bpf_map *map)
{
    size_t size = (size_t) bpf_map__value_size(map)
                  * bpf_map__max_entries(map);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
                   bpf_map__fd(map), 0);

    if (p == MAP_FAILED) {
        problem = xasprintf("cannot map the BPF map \"%s\" (%s)",
                            bpf_map__name(map), ovs_strerror(errno));
        return NULL;
    }
    return p;
}

static bool
map_arrays(void)
{
    BUILD_ASSERT(sizeof(struct kernel_flow) % 8 == 0);
    BUILD_ASSERT(sizeof(struct kernel_stats) % 8 == 0);
    BUILD_ASSERT(sizeof(struct kernel_mask) % 8 == 0);
    BUILD_ASSERT(sizeof(struct kernel_port) % 8 == 0);
    BUILD_ASSERT(sizeof(struct kernel_counters) % 8 == 0);
    BUILD_ASSERT(sizeof(struct kernel_drop_record) % 8 == 0);

    return (kernel_engine.flows = map_array(skel->maps.flows)) != NULL
           && (kernel_engine.stats = map_array(skel->maps.stats)) != NULL
           && (kernel_engine.masks = map_array(skel->maps.masks)) != NULL
           && (kernel_engine.ports = map_array(skel->maps.ports)) != NULL
           && (kernel_engine.counters
               = map_array(skel->maps.counters)) != NULL
           && (kernel_engine.drops = map_array(skel->maps.drops)) != NULL;
}

bool
kernel_engine_load(void)
{
    if (kernel_engine.loaded || problem || !run_dir) {
        return kernel_engine.loaded;
    }

    libbpf_set_print(log_libbpf);
    pin_dir = make_pin_dir();
    int error = load(true);
    if (error && pin_dir) {
        /* Those that the last daemon left may be of another size. */
        error = load(false);
    }
    if (error) {
        problem = xasprintf("cannot load BPF programs (%s)",
                            ovs_strerror(error));
    } else if (map_arrays()) {
        kernel_engine.filter_fd = bpf_program__fd(skel->progs.sluice_filter);
        kernel_engine.ingress_fd
            = bpf_program__fd(skel->progs.sluice_ingress);
        kernel_engine.egress_fd = bpf_program__fd(skel->progs.sluice_egress);
        kernel_engine.by_hash_fd = bpf_map__fd(skel->maps.by_hash);
        kernel_engine.devices_fd = bpf_map__fd(skel->maps.devices);
        kernel_engine.loaded = true;
        kernel_flows_take_over();
        anything_left = true;
        return true;
    }
    VLOG_INFO("kernel ports are served by the user engine alone: %s",
              problem);
    remove_pin_dir();
    return false;
}

bool
kernel_engine_is_available(void)
{
    return kernel_engine.enabled && kernel_engine_load();
}

const char *
kernel_engine_problem(void)
{
    return !kernel_engine.enabled ? "sluice-kernel-engine=false" : problem;
}

void
kernel_engine_exit(void)
{
    if (!kernel_engine.loaded) {
        return;
    }
    n_links = 0;
    for_each_pin("link", count_link);
    if (!n_links) {
        remove_pin_dir();
    }
    kernel_engine.loaded = false;
    fastpath_bpf__destroy(skel);
    free(pin_dir);
    free(mount_point);
    free(problem);
}

/* --- Configuration and what is left of the last daemon ---------------------*/

void
kernel_engine_configure(const struct smap *other_config)
{
    unsigned int max = smap_get_uint(other_config, "sluice-kernel-flows",
                                     DEFAULT_MAX_FLOWS);

    kernel_engine.enabled = smap_get_bool(other_config,
                                          "sluice-kernel-engine", true);
    kernel_engine.max_flows = MIN(MAX(max, 1), MAX_MAX_FLOWS);
    if (kernel_engine.loaded) {
        if (!kernel_engine.enabled) {
            kernel_flows_suspend();
        }
        /* The maps have their size. */
        kernel_engine.max_flows = MIN(kernel_engine.max_flows,
                                      kernel_engine.n_flows);
    }
}

void
kernel_engine_set_upcalls(bool enabled)
{
    drop_left_at = enabled ? time_msec() + LEFT_MSEC : LLONG_MAX;
}

void
kernel_engine_run(void)
{
    static int last_vlan_limit = -1;

    if (!kernel_engine.loaded) {
        return;
    }
    if (flow_vlan_limit != last_vlan_limit) {
        last_vlan_limit = flow_vlan_limit;
        for (unsigned int i = 0; i < KERNEL_MAX_PORTS; i++) {
            kernel_engine.ports[i].vlan_limit = flow_vlan_limit;
        }
    }
    if (anything_left && time_msec() >= drop_left_at) {
        anything_left = false;
        kernel_flows_drop_left();
        kernel_ports_drop_left();
    }
}

void
kernel_engine_wait(void)
{
    if (kernel_engine.loaded && anything_left
        && drop_left_at != LLONG_MAX) {
        poll_timer_wait_until(drop_left_at);
    }
}

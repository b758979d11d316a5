/* "doctor": examines the host and the configuration, says what stands in the
 * way of the switch and what to do about it.
 *
 * Each check is a function that records findings.  A finding is "ok", "note"
 * (worth knowing), "warning" (something is slower or does less than it could)
 * or "problem" (something doesn't work); the exit status is 1 if there is a
 * problem.  Checks only read. */
#include <config.h>
#include "tools.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "dirs.h"
#include "doctor.h"
#include "openvswitch/dynamic-string.h"
#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "report.h"
#include "rpc.h"
#include "util.h"

/* Records a finding of 'check'.  'advice' says what to do, or is NULL. */
void
find(struct examination *e, enum severity severity, const char *check,
     const char *advice, const char *format, ...)
{
    static const char *const words[] = { "ok", "note", "warning", "problem" };
    struct json *finding = json_object_create();
    va_list args;

    va_start(args, format);
    json_object_put(finding, "finding",
                    json_string_create_nocopy(xvasprintf(format, args)));
    va_end(args);
    json_object_put_string(finding, "check", check);
    json_object_put_string(finding, "severity", words[severity]);
    if (advice) {
        json_object_put_string(finding, "advice", advice);
    }
    json_array_add(e->findings, finding);
    e->worst = MAX(e->worst, severity);
}

/* Returns the first line of the file called 'format', or NULL.  The caller
 * must free it. */
char *
read_line(const char *format, ...)
{
    struct ds line = DS_EMPTY_INITIALIZER;
    va_list args;
    char *name;
    FILE *stream;
    int error;

    va_start(args, format);
    name = xvasprintf(format, args);
    va_end(args);
    stream = fopen(name, "r");
    free(name);
    if (!stream) {
        return NULL;
    }
    error = ds_get_line(&line, stream);
    fclose(stream);
    if (error) {
        ds_destroy(&line);
        return NULL;
    }
    return ds_steal_cstr(&line);
}

/* Returns the number in the file called 'name', or 'otherwise'. */
static long long int
read_number(const char *name, long long int otherwise)
{
    char *line = read_line("%s", name);
    long long int value = otherwise;

    if (line) {
        value = strtoll(line, NULL, 0);
        free(line);
    }
    return value;
}

/* The kernel. */

static void
check_kernel(struct examination *e)
{
    int major = 0, minor = 0;
    struct utsname u;

    if (uname(&u) || !ovs_scan(u.release, "%d.%d", &major, &minor)) {
        find(e, NOTE, "kernel", NULL, "version unknown");
    } else if (major < 5 || (major == 5 && minor < 15)) {
        find(e, PROBLEM, "kernel", "upgrade to Linux 5.15 or newer",
             "Linux %s is too old for the kernel flow cache", u.release);
    } else if (major < 6 || (major == 6 && minor < 6)) {
        find(e, NOTE, "kernel", NULL, "Linux %s has no tcx hooks: the kernel "
             "flow cache attaches by clsact, which other programs may remove",
             u.release);
    } else {
        find(e, OK, "kernel", NULL, "Linux %s", u.release);
    }

    if (access("/sys/kernel/btf/vmlinux", R_OK)) {
        find(e, PROBLEM, "kernel-btf", "use a kernel with "
             "CONFIG_DEBUG_INFO_BTF=y (Debian's have it)",
             "no /sys/kernel/btf/vmlinux: BPF programs can't be loaded");
    }
    if (read_number("/proc/sys/net/core/bpf_jit_enable", 1) == 0) {
        find(e, WARNING, "bpf-jit", "sysctl -w net.core.bpf_jit_enable=1",
             "the BPF compiler is off: the kernel flow cache is slow");
    }
    if (access("/dev/net/tun", R_OK | W_OK)) {
        find(e, PROBLEM, "tun", "modprobe tun; see that /dev/net/tun exists "
             "and may be opened", "/dev/net/tun can't be used (%s): no "
             "internal ports and taps", ovs_strerror(errno));
    }
}

/* Guest memory. */

static void
check_hugepages(struct examination *e)
{
    long long int total = read_number(
        "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", 0);
    long long int unused = read_number(
        "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", 0);
    long long int giant = read_number(
        "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", 0);
    char *thp = read_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    bool transparent = thp && (strstr(thp, "[always]")
                               || strstr(thp, "[advise]")
                               || strstr(thp, "[within_size]"));

    if (total + giant) {
        find(e, OK, "hugepages", NULL, "%lld of 2 MB (%lld free), %lld of "
             "1 GB", total, unused, giant);
    } else if (transparent) {
        find(e, OK, "hugepages", NULL,
             "transparent ones for shared memory: %s", thp);
    } else {
        find(e, WARNING, "hugepages", "reserve some (sysctl "
             "vm.nr_hugepages=N) and back guests by them, or echo advise > "
             "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
             "guests' shared memory is in 4 kB pages: copying costs more TLB "
             "misses");
    }
    free(thp);
}

/* What the daemon is allowed to do. */

static void
check_capabilities(struct examination *e, int pid)
{
    static const struct {
        int bit;
        const char *name;
        const char *use;
    } wanted[] = {
        {CAP_NET_ADMIN, "CAP_NET_ADMIN", "create ports"},
        {CAP_NET_RAW, "CAP_NET_RAW", "open packet sockets"},
        {CAP_IPC_LOCK, "CAP_IPC_LOCK", "lock memory"},
        {39, "CAP_BPF", "load BPF programs"}, /* Since Linux 5.8. */
    };
    char *name = xasprintf("/proc/%d/status", pid);
    FILE *stream = fopen(name, "r");
    uint64_t caps = 0;
    char line[256];

    free(name);
    if (!stream) {
        return;
    }
    while (fgets(line, sizeof line, stream)) {
        ovs_scan(line, "CapEff: %"SCNx64, &caps);
    }
    fclose(stream);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        bool have = (caps & (UINT64_C(1) << wanted[i].bit)
                     || (wanted[i].bit == 39
                         && caps & (UINT64_C(1) << CAP_SYS_ADMIN)));

        if (!have) {
            find(e, PROBLEM, "capabilities", "run it as root or grant it the "
                 "capability (AmbientCapabilities= in its systemd unit)",
                 "the switch lacks %s: it can't %s",
                 wanted[i].name, wanted[i].use);
        }
    }
}

static void
check_limits(struct examination *e, int pid)
{
    char *name = xasprintf("/proc/%d/limits", pid);
    FILE *stream = fopen(name, "r");
    char line[256];

    free(name);
    while (stream && fgets(line, sizeof line, stream)) {
        unsigned long long int limit;

        if (ovs_scan(line, "Max open files %llu", &limit) && limit < 65536) {
            find(e, WARNING, "file-limit", "raise it to 65536 or more "
                 "(LimitNOFILE= in its systemd unit)",
                 "the switch may open %llu files; a guest takes about five "
                 "for each queue", limit);
        }
    }
    if (stream) {
        fclose(stream);
    }
}

static void
check_switch(struct examination *e)
{
    int pid = rpc_switch_pid();
    char *error = NULL;
    struct jsonrpc *sw = rpc_open_switch(&error);

    if (!sw) {
        find(e, PROBLEM, "switch", "start sluice-vswitchd", "%s", error);
        free(error);
        return;
    }
    jsonrpc_close(sw);
    find(e, OK, "switch", NULL, "running, process %d", pid);
    check_capabilities(e, pid);
    check_limits(e, pid);
}

static void
check_directories(struct examination *e)
{
    const char *const names[] = { ovs_rundir(), ovs_logdir(), ovs_dbdir() };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct stat s;

        if (stat(names[i], &s) || !S_ISDIR(s.st_mode)) {
            find(e, WARNING, "directories", "create it, or point OVS_RUNDIR, "
                 "OVS_LOGDIR and OVS_DBDIR elsewhere",
                 "directory %s doesn't exist", names[i]);
        } else if (s.st_mode & S_IWOTH && !(s.st_mode & S_ISVTX)) {
            find(e, WARNING, "directories", "chmod o-w it",
                 "everyone may write to %s", names[i]);
        }
    }
}

/* The configuration. */

static void
fetch_configuration(struct examination *e)
{
    char *error;
    struct jsonrpc *db = rpc_open_database(&error);
    struct json *ovs = db ? rpc_select(db, "Open_vSwitch", NULL, &error)
                          : NULL;
    struct json *ifaces = ovs ? rpc_select(db, "Interface", NULL, &error)
                              : NULL;

    if (!ifaces) {
        find(e, PROBLEM, "database", "start sluice-db, or see --db",
             "%s", error);
        free(error);
    } else if (!ovs->array.n) {
        find(e, PROBLEM, "database", "run \"sluice-ctl init\"",
             "the database is empty");
    } else {
        e->ifaces = json_array_create_empty();
        for (size_t i = 0; i < ifaces->array.n; i++) {
            json_array_add(e->ifaces, rpc_plain(ifaces->array.elems[i]));
        }
        find(e, OK, "database", NULL, "%"PRIuSIZE" interfaces",
             ifaces->array.n);
    }
    json_destroy(ovs);
    json_destroy(ifaces);
    if (db) {
        jsonrpc_close(db);
    }
}

static void
check_socket(struct examination *e, const char *iface, const char *path)
{
    struct stat s;

    if (stat(path, &s)) {
        find(e, NOTE, "guests", NULL, "interface %s waits for %s, which "
             "isn't there: the guest hasn't been started, or has another "
             "socket configured", iface, path);
    } else if (!S_ISSOCK(s.st_mode)) {
        find(e, PROBLEM, "guests", "correct options:vhost-server-path",
             "interface %s: %s is not a socket", iface, path);
    }
}

static void
check_interfaces(struct examination *e)
{
    for (size_t i = 0; i < json_length(e->ifaces); i++) {
        const struct json *iface = e->ifaces->array.elems[i];
        const char *name = json_string_or(iface, "name", "");
        const char *type = json_string_or(iface, "type", "");
        const char *error = json_string_or(iface, "error", NULL);
        const char *path = json_string_or(json_member(iface, "options"),
                                          "vhost-server-path", NULL);

        if (error) {
            find(e, PROBLEM, "interfaces", NULL, "%s: %s", name, error);
        } else if (!strcmp(type, "dpdk") || !strcmp(type, "afxdp")) {
            find(e, PROBLEM, "interfaces", "clear its type: the switch takes "
                 "kernel devices as they are",
                 "interface %s is of type %s, which this switch doesn't have",
                 name, type);
        }
        if (path) {
            check_socket(e, name, path);
        }
    }
}

static void
print_findings(const struct examination *e)
{
    for (size_t i = 0; i < e->findings->array.n; i++) {
        const struct json *f = e->findings->array.elems[i];

        printf("%-8s %-12s %s\n", json_string_or(f, "severity", ""),
               json_string_or(f, "check", ""),
               json_string_or(f, "finding", ""));
        if (json_member(f, "advice")) {
            printf("%-8s %-12s -> %s\n", "", "",
                   json_string_or(f, "advice", ""));
        }
    }
}

int
tool_doctor(const struct tool_args *args)
{
    struct examination e = { .findings = json_array_create_empty() };

    check_kernel(&e);
    check_hugepages(&e);
    check_directories(&e);
    check_switch(&e);
    fetch_configuration(&e);
    check_settings(&e);
    check_interfaces(&e);
    check_uplinks(&e);
    if (args->json) {
        print_json_line(e.findings);
    } else {
        print_findings(&e);
    }
    json_destroy(e.findings);
    json_destroy(e.ifaces);
    return e.worst == PROBLEM;
}

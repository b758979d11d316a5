/* "doctor" about uplinks: whether their filters can work, and if a device lets
 * in everything, who made it do so. */
#include <config.h>
#include "doctor.h"

#include <dirent.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "report.h"
#include "rpc.h"
#include "socket-util.h"
#include "util.h"

/* How many unicast addresses a NIC filters in hardware beside its own, by
 * driver; of a family of NICs, the least.  With more the NIC lets in all
 * unicast by itself, and nobody is told. */
static const struct {
    const char *driver;
    size_t n_addresses;
} filters[] = {
    {"virtio_net", 64},         /* QEMU's. */
    {"e1000", 14},
    {"e1000e", 14},
    {"igb", 15},
    {"ixgbe", 127},
};

static size_t
filter_size(const char *driver)
{
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
        if (!strcmp(filters[i].driver, driver)) {
            return filters[i].n_addresses;
        }
    }
    return 0;
}

/* Returns what comes last in the symbolic link called 'format', or NULL.  The
 * caller must free it. */
static char * OVS_PRINTF_FORMAT(1, 2)
read_link_name(const char *format, ...)
{
    char target[256];
    va_list args;

    va_start(args, format);
    char *link = xvasprintf(format, args);
    va_end(args);
    ssize_t n = readlink(link, target, sizeof target - 1);
    free(link);
    if (n <= 0) {
        return NULL;
    }
    target[n] = '\0';
    const char *slash = strrchr(target, '/');
    return xstrdup(slash ? slash + 1 : target);
}

/* --- Who has a device let in everything ---------------------------------- */

/* How a device lets in more than its filter has. */
static const struct leak {
    short flag;                 /* Of the device. */
    const char *text;           /* That it does... */
    const char *remedy;         /* ...since somebody has set the flag. */
    const char *otherwise;      /* Else it may be for this... */
    const char *other_remedy;   /* ...against which this helps. */
} promiscuity = {
    IFF_PROMISC, "is promiscuous", "ip link set dev DEVICE promisc off",
    "a macvlan device in mode passthru on it", "make it with \"nopromisc\""
}, allmulti = {
    IFF_ALLMULTI, "lets in all multicast",
    "ip link set dev DEVICE allmulticast off",
    "multicast routing in the kernel", "end the multicast routing daemon"
};

/* Whether somebody has set the device's flag, as "ip link" does. */
static bool
has_flag(const char *device, short flag)
{
    struct ifreq ifr;

    memset(&ifr, 0, sizeof ifr);
    ovs_strlcpy(ifr.ifr_name, device, sizeof ifr.ifr_name);
    return !af_inet_ioctl(SIOCGIFFLAGS, &ifr) && ifr.ifr_flags & flag;
}

/* Returns true if process 'pid' has socket 'inode'. */
static bool
has_socket(const char *pid, unsigned long long int inode)
{
    char *wanted = xasprintf("socket:[%llu]", inode);
    char *dir = xasprintf("/proc/%s/fd", pid);
    DIR *stream = opendir(dir);
    struct dirent *dirent;
    bool found = false;

    while (stream && !found && (dirent = readdir(stream))) {
        char *target = read_link_name("%s/%s", dir, dirent->d_name);

        found = target && !strcmp(target, wanted);
        free(target);
    }
    if (stream) {
        closedir(stream);
    }
    free(dir);
    free(wanted);
    return found;
}

/* Adds to 's' the program that has packet socket 'inode', unless it is the
 * switch. */
static void
add_program(struct ds *s, unsigned long long int inode)
{
    DIR *stream = opendir("/proc");
    struct dirent *dirent;

    while (stream && (dirent = readdir(stream))) {
        const char *pid = dirent->d_name;

        if (pid[0] < '0' || pid[0] > '9' || !has_socket(pid, inode)) {
            continue;
        }
        char *name = read_line("/proc/%s/comm", pid);
        /* Names are cut off. */
        if (name && strncmp(name, "sluice-vswitchd", 15)
            && strcmp(name, "ovs-vswitchd")) {
            ds_put_format(s, "%s%s (process %s)", s->length ? ", " : "",
                          name, pid);
        }
        free(name);
        break;
    }
    if (stream) {
        closedir(stream);
    }
}

/* Adds to 's' the programs that have packet sockets on 'device'. */
static void
add_listeners(struct ds *s, const char *device)
{
    FILE *stream = fopen("/proc/net/packet", "r");
    unsigned int ifindex = if_nametoindex(device);
    char line[256];

    while (stream && fgets(line, sizeof line, stream)) {
        unsigned long long int inode;
        unsigned int socket_ifindex;

        if (sscanf(line, "%*s %*s %*s %*s %u %*s %*s %*s %llu",
                   &socket_ifindex, &inode) == 2
            && (socket_ifindex == ifindex || !socket_ifindex)) {
            add_program(s, inode);
        }
    }
    if (stream) {
        fclose(stream);
    }
}

/* Finds who has 'device', at or below uplink 'uplink', let in what 'leak'
 * says. */
static void
blame(struct examination *e, const char *uplink, const char *device,
      const struct leak *leak)
{
    char *master = read_link_name("/sys/class/net/%s/master", device);
    struct ds programs = DS_EMPTY_INITIALIZER;

    add_listeners(&programs, device);
    if (has_flag(device, leak->flag)) {
        find(e, WARNING, "uplinks", leak->remedy,
             "uplink %s: %s %s: its flag was set by hand or by a script",
             uplink, device, leak->text);
    } else if (master) {
        find(e, WARNING, "uplinks", "take it out of there",
             "uplink %s: %s %s, being a port of %s",
             uplink, device, leak->text, master);
    } else if (programs.length) {
        find(e, WARNING, "uplinks", "end it, or have it not ask for that "
             "(tcpdump -p)", "uplink %s: %s %s, perhaps for a program that "
             "listens there: %s",
             uplink, device, leak->text, ds_cstr(&programs));
    } else {
        find(e, WARNING, "uplinks", leak->other_remedy,
             "uplink %s: %s %s, perhaps for %s",
             uplink, device, leak->text, leak->otherwise);
    }
    ds_destroy(&programs);
    free(master);
}

/* --- Filters ------------------------------------------------------------- */

static void
check_size(struct examination *e, const char *name, size_t n_addresses)
{
    char *driver = read_link_name("/sys/class/net/%s/device/driver", name);
    size_t size = driver ? filter_size(driver) : 0;

    if (size && n_addresses > size) {
        find(e, WARNING, "uplinks", "use fewer guests for each uplink, or a "
             "NIC with a larger filter",
             "%s (%s) filters %"PRIuSIZE" addresses and there are %"PRIuSIZE
             " behind it: it takes in all unicast", name, driver, size,
             n_addresses);
    } else if (size) {
        find(e, OK, "uplinks", NULL, "%s (%s) filters %"PRIuSIZE" addresses, "
             "%"PRIuSIZE" are behind it", name, driver, size, n_addresses);
    } else {
        find(e, OK, "uplinks", NULL, "%s (%s): %"PRIuSIZE" addresses are "
             "behind it", name, driver ? driver : "virtual", n_addresses);
    }
    free(driver);
}

static void
check_uplink(struct examination *e, const char *name,
             const struct json *status)
{
    const char *softmac = json_string_or(status, "softmac", "");
    const char *promiscuous = json_string_or(status, "promiscuous", "false");
    const char *multicast = json_string_or(status, "allmulti", "false");
    char *physfn = read_link_name("/sys/class/net/%s/device/physfn", name);

    if (!strcmp(softmac, "off")) {
        find(e, NOTE, "uplinks", NULL, "%s: options:softmac=off: only what "
             "its filter happens to have comes in", name);
    } else if (strcmp(softmac, "unsupported")) {
        check_size(e, name, atoi(json_string_or(status, "softmac_addresses",
                                                "0")));
    }
    if (!strcmp(json_string_or(status, "softmac_overflow", "false"), "true")) {
        find(e, WARNING, "uplinks", "raise options:softmac-max if the device "
             "has room, or set options:softmac-overflow=promisc",
             "%s: its filter is full: frames to some guests don't come in",
             name);
    }
    if (strcmp(promiscuous, "false")) {
        blame(e, name, promiscuous, &promiscuity);
    }
    /* By default the switch itself wants it. */
    if (strcmp(json_string_or(status, "softmac_groups", "all"), "all")
        && strcmp(multicast, "false")) {
        blame(e, name, multicast, &allmulti);
    }
    if (physfn) {
        find(e, NOTE, "uplinks", "on the host that has its physical function: "
             "ip link set dev DEVICE vf N trust on spoofchk off",
             "%s is a virtual function: it needs trust to have more "
             "addresses, and no spoof check to send from them", name);
    }
    free(physfn);
}

/* Looks at the uplinks, as the switch describes them in Interface.status. */
void
check_uplinks(struct examination *e)
{
    for (size_t i = 0; i < json_length(e->ifaces); i++) {
        const struct json *iface = e->ifaces->array.elems[i];
        const struct json *status = json_member(iface, "status");

        if (json_member(status, "softmac")) {
            check_uplink(e, json_string_or(iface, "name", ""), status);
        }
    }
}

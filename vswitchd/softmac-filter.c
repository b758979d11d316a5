/* One device's filter, as the kernel has it.
 *
 * The kernel doesn't tell who put an address into a device's filter, and keeps
 * it there when we die.  So there is a record of what we put there, a file in
 * the run directory: the next process takes over what it lists, so that a
 * guest that only listens stays reachable, and takes out what is not needed
 * any more.  The record is written before the kernel is asked, so it never
 * lists too little.  An address that was in the filter before us is somebody
 * else's (a macvlan device's, an administrator's) and is left alone.
 *
 * The record is a line per change:
 *
 *   + ADDRESS PORT     needed, since PORT used it ("-": the controller did;
 *                      "=": the database gives it)
 *   - ADDRESS PORT     not needed by PORT any more
 *   - ADDRESS          taken out
 *   +v VID PORT        VLAN needed, since PORT sent frames of it
 *   -v VID PORT        not needed by PORT any more
 *   v                  rx-vlan-filter turned off
 *
 * behind a first line with the device's ifindex: a device that was made anew
 * under the same name has an empty filter.  It is written anew when most of
 * its lines mean nothing any more.
 *
 * Multicast groups and promiscuity are held by a packet socket and so end with
 * the process by themselves. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bitmap.h"
#include "dirs.h"
#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "sset.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(softmac_filter);

#define HEADER "sluice-softmac 1 "

/* Lines of a record beyond twice the addresses. */
#define RECORD_SLACK 1000

enum entry_state {
    ENTRY_OURS,                 /* In the kernel's filter through us. */
    ENTRY_FOREIGN,              /* ...not through us. */
    ENTRY_OWN                   /* The device's own: needs no entry. */
};

struct filter_entry {
    struct hmap_node node;      /* In filter->entries. */
    struct eth_addr ea;
    enum entry_state state;
    struct sset origins;        /* Who needs it, if it is ours. */
};

/* Groups of the link-local protocols that a switch speaks. */
static const struct eth_addr link_local_groups[] = {
    ETH_ADDR_C(01,80,c2,00,00,00),  /* Spanning tree. */
    ETH_ADDR_C(01,80,c2,00,00,02),  /* LACP and other slow protocols. */
    ETH_ADDR_C(01,80,c2,00,00,03),  /* 802.1X. */
    ETH_ADDR_C(01,80,c2,00,00,0e),  /* LLDP. */
    ETH_ADDR_C(01,80,c2,00,00,30),  /* CFM. */
    ETH_ADDR_C(01,23,20,00,00,01),  /* BFD. */
    ETH_ADDR_C(01,00,0c,cc,cc,cc),  /* CDP. */
};

/* --- The record ---------------------------------------------------------- */

static char *
record_dir(void)
{
    return xasprintf("%s/softmac", ovs_rundir());
}

static char *
record_path(const char *device)
{
    return xasprintf("%s/softmac/%s", ovs_rundir(), device);
}

static void
format_line(struct ds *s, char sign, struct eth_addr ea, const char *origin)
{
    ds_put_format(s, "%c "ETH_ADDR_FMT"%s%s\n", sign, ETH_ADDR_ARGS(ea),
                  origin ? " " : "", origin ? origin : "");
}

/* Writes the whole record anew. */
static void
record_rewrite(struct filter *filter)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    char *path = record_path(filter->name);
    char *tmp = xasprintf("%s.new", path);
    struct filter_entry *entry;
    char *dir = record_dir();

    ds_put_format(&s, HEADER"%u\n", filter->ifindex);
    filter->n_logged = 0;
    HMAP_FOR_EACH (entry, node, &filter->entries) {
        const char *origin;

        SSET_FOR_EACH (origin, &entry->origins) {
            format_line(&s, '+', entry->ea, origin);
            filter->n_logged++;
        }
    }
    const char *vid_use;
    SSET_FOR_EACH (vid_use, &filter->vid_uses) {
        ds_put_format(&s, "+v %s\n", vid_use);
        filter->n_logged++;
    }
    if (filter->vlan_filtering == VLAN_FILTER_OFF) {
        ds_put_cstr(&s, "v\n");
    }
    if (filter->log >= 0) {
        close(filter->log);
    }
    mkdir(dir, 0700);
    filter->log = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND
                            | O_CLOEXEC, 0600);
    if (filter->log < 0
        || write(filter->log, s.string, s.length) != (ssize_t) s.length
        || rename(tmp, path)) {
        VLOG_WARN("%s: cannot write (%s): after a crash, addresses will be "
                  "left in the filter of %s", path, ovs_strerror(errno),
                  filter->name);
    }
    ds_destroy(&s);
    free(dir);
    free(tmp);
    free(path);
}

/* Adds 'line' to the record. */
static void
record_append_line(struct filter *filter, const struct ds *line)
{
    if (filter->n_logged > 2 * (filter->n_origins
                                + sset_count(&filter->vid_uses))
                           + RECORD_SLACK) {
        record_rewrite(filter);
    }
    if (filter->log >= 0
        && write(filter->log, line->string, line->length)
           != (ssize_t) line->length) {
        static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

        VLOG_WARN_RL(&rl, "%s: cannot record a change of the filter (%s)",
                     filter->name, ovs_strerror(errno));
    }
    filter->n_logged++;
}

/* Adds a line about an address; 'origin' may be NULL. */
static void
record_append(struct filter *filter, char sign, struct eth_addr ea,
              const char *origin)
{
    struct ds line = DS_EMPTY_INITIALIZER;

    format_line(&line, sign, ea, origin);
    record_append_line(filter, &line);
    ds_destroy(&line);
}

/* Adds a line about a VLAN. */
static void
record_append_vid(struct filter *filter, char sign, uint16_t vid,
                  const char *origin)
{
    struct ds line = DS_EMPTY_INITIALIZER;

    ds_put_format(&line, "%cv %u %s\n", sign, vid, origin);
    record_append_line(filter, &line);
    ds_destroy(&line);
}

/* --- Entries ------------------------------------------------------------- */

static struct filter_entry *
find_entry(const struct filter *filter, struct eth_addr ea)
{
    struct filter_entry *entry;

    HMAP_FOR_EACH_WITH_HASH (entry, node, hash_mac(ea, 0, 0),
                             &filter->entries) {
        if (eth_addr_equals(entry->ea, ea)) {
            return entry;
        }
    }
    return NULL;
}

static struct filter_entry *
insert_entry(struct filter *filter, struct eth_addr ea, enum entry_state state)
{
    struct filter_entry *entry = xmalloc(sizeof *entry);

    *entry = (struct filter_entry) {
        .ea = ea,
        .state = state,
        .origins = SSET_INITIALIZER(&entry->origins),
    };
    hmap_insert(&filter->entries, &entry->node, hash_mac(ea, 0, 0));
    return entry;
}

static void
delete_entry(struct filter *filter, struct filter_entry *entry)
{
    hmap_remove(&filter->entries, &entry->node);
    filter->n_origins -= sset_count(&entry->origins);
    sset_destroy(&entry->origins);
    free(entry);
}

/* Notes that 'origin' needs 'entry'.  Returns false if that is known. */
static bool
add_origin(struct filter *filter, struct filter_entry *entry,
           const char *origin)
{
    bool new = sset_add(&entry->origins, origin) != NULL;

    filter->n_origins += new;
    return new;
}

/* Notes that 'origin' doesn't need 'entry' any more, which may be NULL. */
static bool
remove_origin(struct filter *filter, struct filter_entry *entry,
              const char *origin)
{
    bool removed = entry && sset_find_and_delete(&entry->origins, origin);

    filter->n_origins -= removed;
    return removed;
}

/* Notes that frames of VLAN 'vid' from 'origin' need it, or no longer do.
 * Returns false if that is known. */
static bool
note_vid_use(struct filter *filter, bool add, uint16_t vid, const char *origin)
{
    char *use = xasprintf("%u %s", vid, origin);
    bool changed = add ? sset_add(&filter->vid_uses, use) != NULL
                   : sset_find_and_delete(&filter->vid_uses, use);

    free(use);
    return changed;
}

/* Reads the record of 'filter', from before this process, into its entries. */
static void
record_read(struct filter *filter)
{
    char *path = record_path(filter->name);
    FILE *stream = fopen(path, "r");
    unsigned int ifindex = 0;
    char line[128];

    free(path);
    if (!stream) {
        return;
    }
    while (fgets(line, sizeof line, stream)) {
        struct filter_entry *entry;
        struct eth_addr ea;
        unsigned int vid;
        char origin[65];
        char sign[2];

        if (ovs_scan(line, HEADER"%u", &ifindex)) {
            if (ifindex != filter->ifindex) {
                break;
            }
        } else if (!ifindex) {
            break;
        } else if (line[0] == 'v') {
            filter->vlan_filtering = VLAN_FILTER_OFF;
        } else if (ovs_scan(line, "%1[+-]v %u %64s", sign, &vid, origin)
                   && vid < 4096) {
            note_vid_use(filter, sign[0] == '+', vid, origin);
        } else if (ovs_scan(line, "- "ETH_ADDR_SCAN_FMT" %64s",
                            ETH_ADDR_SCAN_ARGS(ea), origin)) {
            remove_origin(filter, find_entry(filter, ea), origin);
        } else if (ovs_scan(line, "- "ETH_ADDR_SCAN_FMT,
                            ETH_ADDR_SCAN_ARGS(ea))) {
            entry = find_entry(filter, ea);
            if (entry) {
                delete_entry(filter, entry);
            }
        } else if (ovs_scan(line, "+ "ETH_ADDR_SCAN_FMT" %64s",
                            ETH_ADDR_SCAN_ARGS(ea), origin)) {
            entry = find_entry(filter, ea);
            if (!entry) {
                entry = insert_entry(filter, ea, ENTRY_OURS);
            }
            add_origin(filter, entry, origin);
        }
    }
    fclose(stream);
}

/* --- Groups and promiscuity ---------------------------------------------- */

static int
change_membership(const struct filter *filter, int type, bool add,
                  const struct eth_addr *ea)
{
    struct packet_mreq mreq = {
        .mr_ifindex = filter->ifindex,
        .mr_type = type,
        .mr_alen = ea ? ETH_ADDR_LEN : 0,
    };

    if (ea) {
        memcpy(mreq.mr_address, ea, ETH_ADDR_LEN);
    }
    return setsockopt(filter->socket, SOL_PACKET,
                      add ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP,
                      &mreq, sizeof mreq) ? errno : 0;
}

static void
join_groups(struct filter *filter)
{
    /* Protocol 0: it receives nothing. */
    filter->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    int error = filter->socket < 0 ? errno
                : change_membership(filter, PACKET_MR_ALLMULTI, true, NULL);
    if (error) {
        VLOG_WARN("%s: cannot have it let in all multicast (%s)",
                  filter->name, ovs_strerror(error));
    }
    for (size_t i = 0; !error && i < ARRAY_SIZE(link_local_groups); i++) {
        change_membership(filter, PACKET_MR_MULTICAST, true,
                          &link_local_groups[i]);
    }
}

/* Joins or leaves those of the 'n' 'groups' that aren't among the 'n_others'
 * 'others'; both are sorted. */
static bool
change_groups(struct filter *filter, bool join, const struct eth_addr groups[],
              size_t n, const struct eth_addr others[], size_t n_others)
{
    size_t j = 0;
    bool ok = true;

    for (size_t i = 0; i < n; i++) {
        int cmp = 1;

        while (j < n_others
               && (cmp = memcmp(&others[j], &groups[i], ETH_ADDR_LEN)) < 0) {
            j++;
        }
        if (j >= n_others || cmp) {
            ok &= !change_membership(filter, PACKET_MR_MULTICAST, join,
                                     &groups[i]);
        }
    }
    return ok;
}

/* Has the device let in the 'n' multicast 'groups', sorted, or all if there
 * are none or it can't have them.  What is new comes before what is not
 * needed goes.  Returns true if something changed. */
bool
filter_set_groups(struct filter *filter, const struct eth_addr groups[],
                  size_t n)
{
    if (filter->socket < 0
        || (n == filter->n_groups
            && (!n || !memcmp(groups, filter->groups, n * sizeof *groups)))) {
        return false;
    }

    bool was_all = !filter->n_groups;
    if (!change_groups(filter, true, groups, n, filter->groups,
                       filter->n_groups)) {
        change_groups(filter, false, groups, n, filter->groups,
                      filter->n_groups);
        if (was_all) {
            return false;
        }
        n = 0;
    }
    if (was_all != !n) {
        change_membership(filter, PACKET_MR_ALLMULTI, !n, NULL);
    }
    change_groups(filter, false, filter->groups, filter->n_groups, groups, n);
    free(filter->groups);
    filter->groups = n ? xmemdup(groups, n * sizeof *groups) : NULL;
    filter->n_groups = n;
    return true;
}

/* Makes the device promiscuous, or no longer so. */
void
filter_set_promiscuous(struct filter *filter, bool promiscuous)
{
    if (promiscuous != filter->promiscuous
        && !change_membership(filter, PACKET_MR_PROMISC, promiscuous, NULL)) {
        filter->promiscuous = promiscuous;
    }
}

/* --- Life ---------------------------------------------------------------- */

static void
note_vid(uint16_t vid, void *filter_)
{
    struct filter *filter = filter_;

    bitmap_set1(filter->vids, vid);
}

/* Puts what the process before left into the kernel's filter once more: it is
 * there, unless that died at the wrong moment. */
static void
take_over(struct filter *filter, struct inherited **inherited, size_t *n)
{
    struct filter_entry *entry;

    *n = 0;
    *inherited = xmalloc(filter->n_origins * sizeof **inherited);
    HMAP_FOR_EACH_SAFE (entry, node, &filter->entries) {
        int error = link_add_address(filter->ifindex, entry->ea);

        const char *origin;

        if (error && error != EEXIST) {
            delete_entry(filter, entry);
            continue;
        }
        SSET_FOR_EACH (origin, &entry->origins) {
            (*inherited)[(*n)++] = (struct inherited) {
                .ea = entry->ea,
                .origin = xstrdup(origin),
            };
        }
    }
}

static struct filter *
filter_create(const char *name, unsigned int ifindex)
{
    struct filter *filter = xzalloc(sizeof *filter);

    filter->name = xstrdup(name);
    filter->ifindex = ifindex;
    filter->log = filter->socket = -1;
    hmap_init(&filter->entries);
    sset_init(&filter->vid_uses);
    return filter;
}

/* Opens the filter of device 'name'.  Stores in '*inherited', which the caller
 * must free with what it points to, the '*n' addresses that it has from the
 * process before, or NULL. */
struct filter *
filter_open(const char *name, unsigned int ifindex,
            struct inherited **inherited, size_t *n)
{
    struct filter *filter = filter_create(name, ifindex);
    struct link_info info;

    *inherited = NULL;
    *n = 0;

    if (link_get(ifindex, &info) || link_has_no_filter(&info)) {
        filter->unsupported = filter->checked = true;
        return filter;
    }
    if (info.only_own) {
        filter->unsupported = filter->checked = filter->only_own = true;
        return filter;
    }
    filter->own = info.ea;
    record_read(filter);
    take_over(filter, inherited, n);
    if (filter->vlan_filtering == VLAN_FILTER_NONE) {
        filter->vlan_filtering = vlan_filtering_stop(
            name, link_is_bond(&info));
    }
    if (filter->vlan_filtering == VLAN_FILTER_FIXED) {
        link_for_each_vlan(ifindex, note_vid, filter);
    }
    join_groups(filter);
    record_rewrite(filter);
    filter_check(filter);
    return filter;
}

static void
remove_from_kernel(struct filter *filter)
{
    struct filter_entry *entry;
    char *path = record_path(filter->name);
    size_t vid;

    HMAP_FOR_EACH (entry, node, &filter->entries) {
        if (entry->state == ENTRY_OURS) {
            link_del_address(filter->ifindex, entry->ea);
        }
    }
    if (filter->vlan_filtering == VLAN_FILTER_OFF) {
        vlan_filtering_restore(filter->name);
    }
    BITMAP_FOR_EACH_1 (vid, 4096, filter->vids) {
        link_del_vlan(filter->ifindex, vid);
    }
    unlink(path);
    free(path);
}

/* Closes 'filter'.  If 'keep', the addresses stay where they are, for the next
 * process to take over. */
void
filter_close(struct filter *filter, bool keep)
{
    struct filter_entry *entry;

    if (!keep) {
        remove_from_kernel(filter);
    }
    HMAP_FOR_EACH_SAFE (entry, node, &filter->entries) {
        delete_entry(filter, entry);
    }
    hmap_destroy(&filter->entries);
    sset_destroy(&filter->vid_uses);
    if (filter->log >= 0) {
        close(filter->log);
    }
    if (filter->socket >= 0) {
        close(filter->socket);
    }
    free(filter->groups);
    free(filter->name);
    free(filter);
}

/* Removes what the process before left in filters of devices that aren't
 * uplinks any more, which 'is_uplink' tells. */
void
filters_forget_others(bool (*is_uplink)(const char *device))
{
    char *dir = record_dir();
    DIR *stream = opendir(dir);
    struct dirent *dirent;

    free(dir);
    while (stream && (dirent = readdir(stream))) {
        const char *name = dirent->d_name;
        unsigned int ifindex = if_nametoindex(name);

        if (name[0] == '.' || is_uplink(name)) {
            continue;
        }
        struct filter *filter = filter_create(name, ifindex);
        record_read(filter);
        link_for_each_vlan(ifindex, note_vid, filter);
        filter_close(filter, false);
    }
    if (stream) {
        closedir(stream);
    }
}

/* --- Changes ------------------------------------------------------------- */

/* Puts 'ea' into the filter, if it isn't there, since port 'origin' (or one of
 * ORIGIN_*) needs it.  Returns 0 or a positive errno value. */
int
filter_add(struct filter *filter, struct eth_addr ea, const char *origin)
{
    if (filter->unsupported) {
        return EOPNOTSUPP;
    }

    struct filter_entry *entry = find_entry(filter, ea);
    if (entry) {
        if (entry->state == ENTRY_OURS && add_origin(filter, entry, origin)) {
            record_append(filter, '+', ea, origin);
        }
        return 0;
    }
    if (eth_addr_equals(ea, filter->own)) {
        insert_entry(filter, ea, ENTRY_OWN);
        return 0;
    }
    entry = insert_entry(filter, ea, ENTRY_OURS);
    add_origin(filter, entry, origin);
    record_append(filter, '+', ea, origin);
    int error = link_add_address(filter->ifindex, ea);
    if (error) {
        record_append(filter, '-', ea, NULL);
        if (error != EEXIST) {
            delete_entry(filter, entry);
            filter->only_own |= error == EOPNOTSUPP;
            filter->unsupported |= error == EOPNOTSUPP;
            return error;
        }
        delete_entry(filter, entry);
        insert_entry(filter, ea, ENTRY_FOREIGN);
    }
    if (!filter->checked) {
        filter_check(filter);
    }
    return filter->unsupported ? EOPNOTSUPP : 0;
}

/* Takes 'ea' out of the filter, if it is in there through us. */
void
filter_remove(struct filter *filter, struct eth_addr ea)
{
    struct filter_entry *entry = find_entry(filter, ea);

    if (entry) {
        if (entry->state == ENTRY_OURS) {
            link_del_address(filter->ifindex, ea);
            record_append(filter, '-', ea, NULL);
        }
        delete_entry(filter, entry);
    }
}

/* 'origin' doesn't need 'ea' any more; others do, or else filter_remove() is
 * about to be called. */
void
filter_forget(struct filter *filter, struct eth_addr ea, const char *origin)
{
    if (remove_origin(filter, find_entry(filter, ea), origin)) {
        record_append(filter, '-', ea, origin);
    }
}

/* Port 'origin' (or ORIGIN_CONTROLLER) needs VLAN 'vid'.  Only devices that
 * have to be told of VLANs keep that. */
void
filter_note_vid(struct filter *filter, uint16_t vid, const char *origin)
{
    if (filter->vlan_filtering == VLAN_FILTER_FIXED
        && note_vid_use(filter, true, vid, origin)) {
        record_append_vid(filter, '+', vid, origin);
    }
}

/* It doesn't any more. */
void
filter_forget_vid(struct filter *filter, uint16_t vid, const char *origin)
{
    if (note_vid_use(filter, false, vid, origin)) {
        record_append_vid(filter, '-', vid, origin);
    }
}

/* Has the filter let in frames of VLAN 'vid'. */
int
filter_add_vid(struct filter *filter, uint16_t vid)
{
    if (filter->vlan_filtering != VLAN_FILTER_FIXED
        || bitmap_is_set(filter->vids, vid)) {
        return 0;
    }
    int error = link_add_vlan(filter->ifindex, vid);
    if (!error) {
        note_vid(vid, filter);
    }
    return error;
}

/* Undoes that. */
void
filter_remove_vid(struct filter *filter, uint16_t vid)
{
    if (bitmap_is_set(filter->vids, vid)) {
        bitmap_set0(filter->vids, vid);
        link_del_vlan(filter->ifindex, vid);
    }
}

/* Finds out whether the device filters at all: the kernel makes one that
 * doesn't promiscuous as soon as it is up and has an address in its filter. */
static void
check_support(struct filter *filter)
{
    struct filter_entry *entry;
    struct link_info info;
    unsigned int before;

    if (filter->checked || hmap_is_empty(&filter->entries)
        || link_get(filter->ifindex, &info) || !(info.flags & IFF_UP)) {
        return;
    }
    filter->checked = true;
    before = info.promiscuity;
    if (!before) {
        return;
    }
    HMAP_FOR_EACH (entry, node, &filter->entries) {
        if (entry->state == ENTRY_OURS) {
            link_del_address(filter->ifindex, entry->ea);
        }
    }
    if (!link_get(filter->ifindex, &info) && info.promiscuity < before) {
        filter->unsupported = true;
        HMAP_FOR_EACH_SAFE (entry, node, &filter->entries) {
            delete_entry(filter, entry);
        }
        record_rewrite(filter);
        return;
    }
    HMAP_FOR_EACH (entry, node, &filter->entries) {
        if (entry->state == ENTRY_OURS) {
            link_add_address(filter->ifindex, entry->ea);
        }
    }
}

/* The device has changed: has the filter as it should be again. */
void
filter_check(struct filter *filter)
{
    struct filter_entry *entry;
    struct link_info info;

    if (filter->unsupported || link_get(filter->ifindex, &info)) {
        return;
    }
    if (!eth_addr_equals(info.ea, filter->own)) {
        filter->own = info.ea;
        HMAP_FOR_EACH (entry, node, &filter->entries) {
            if (entry->state == ENTRY_OWN) {
                int error = link_add_address(filter->ifindex, entry->ea);

                entry->state = error == EEXIST ? ENTRY_FOREIGN : ENTRY_OURS;
                if (entry->state == ENTRY_OURS) {
                    add_origin(filter, entry, ORIGIN_DATABASE);
                    record_append(filter, '+', entry->ea,
                                  ORIGIN_DATABASE);
                }
            }
        }
    }
    check_support(filter);
}

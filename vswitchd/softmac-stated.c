/* The addresses that are behind an interface which is no uplink, as far as the
 * database says: external_ids:attached-mac, Interface.mac and, of an internal
 * port, its own.
 *
 * Main thread. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <stdlib.h>
#include <string.h>

#include "netdev.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "smap.h"
#include "util.h"
#include "vswitchd/vswitchd.h"

/* Addresses that an interface can state: each is looked at for each new flow
 * to it. */
#define MAX_STATED 256

static bool
stated_has(const struct stated *stated, struct eth_addr ea)
{
    for (size_t i = 0; i < stated->n; i++) {
        if (eth_addr_equals(stated->addrs[i], ea)) {
            return true;
        }
    }
    return false;
}

/* Adds 'ea' to 'stated'.  Returns false if there is no room for it. */
static bool
state(struct stated *stated, struct eth_addr ea)
{
    if (stated_has(stated, ea)) {
        return true;
    }
    if (stated->n >= MAX_STATED) {
        return false;
    }
    if (!stated->addrs) {
        stated->addrs = xmalloc(MAX_STATED * sizeof *stated->addrs);
    }
    stated->addrs[stated->n++] = ea;
    return true;
}

/* Adds the addresses in 'words', between blanks or commas, to 'stated', and to
 * 's', unless that is NULL, what is wrong with them; they come from 'column'.
 * 'words' may be NULL. */
static void
state_all(struct stated *stated, const char *column, const char *words,
          struct ds *s)
{
    char *copy = xstrdup(words ? words : "");
    char *save = NULL;
    bool room = true;

    for (char *word = strtok_r(copy, " ,", &save); word && room;
         word = strtok_r(NULL, " ,", &save)) {
        struct eth_addr ea;

        if (eth_addr_from_string(word, &ea) && !eth_addr_is_multicast(ea)
            && !eth_addr_is_zero(ea)) {
            room = state(stated, ea);
        } else if (s) {
            ds_put_format(s, "%s: %s is not a unicast Ethernet address\n",
                          column, word);
        }
    }
    if (!room && s) {
        ds_put_format(s, "%s: %d addresses are possible, those beyond have no "
                      "effect\n", column, MAX_STATED);
    }
    free(copy);
}

static void
state_row(struct stated *stated, const struct ovsrec_interface *row,
          struct ds *s)
{
    state_all(stated, "external_ids:attached-mac",
              smap_get(&row->external_ids, "attached-mac"), s);
    state_all(stated, "mac", row->mac, s);
}

/* Returns what 'iface', which is open and no uplink, states.  The caller must
 * free its addresses. */
struct stated
stated_read(const struct iface *iface, const struct ovsrec_interface *row)
{
    struct stated stated = { .n = 0 };
    struct eth_addr ea;

    if (netdev_get_tunnel_config(iface->netdev)
        || !strcmp(iface->type, "patch")) {
        return stated;
    }
    state_row(&stated, row, NULL);
    if (!strcmp(iface->type, "internal")
        && !netdev_get_etheraddr(iface->netdev, &ea)
        && !eth_addr_is_multicast(ea) && !eth_addr_is_zero(ea)) {
        state(&stated, ea);
    }
    return stated;
}

/* Adds to 's' what is wrong with the addresses that 'row' gives, a line
 * each. */
void
stated_check(const struct ovsrec_interface *row, struct ds *s)
{
    struct stated stated = { .n = 0 };

    state_row(&stated, row, s);
    free(stated.addrs);
}

/* Has all 'addrs' of 'stated' in the filter of 'uplink'. */
void
stated_add_to(const struct stated *stated, struct uplink *uplink)
{
    for (size_t i = 0; i < stated->n; i++) {
        uplink_static_ref(uplink, stated->addrs[i]);
    }
}

/* Tells 'uplink' that what an interface states was 'old' and is 'new' from now
 * on: what is new goes in first, so that what stays doesn't go out for a
 * moment. */
void
stated_change(const struct stated *old, const struct stated *new,
              struct uplink *uplink)
{
    for (size_t i = 0; i < new->n; i++) {
        if (!stated_has(old, new->addrs[i])) {
            uplink_static_ref(uplink, new->addrs[i]);
        }
    }
    for (size_t i = 0; i < old->n; i++) {
        if (!stated_has(new, old->addrs[i])) {
            uplink_static_unref(uplink, old->addrs[i]);
        }
    }
}

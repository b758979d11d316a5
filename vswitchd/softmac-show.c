/* The command sluice/softmac: the uplinks and what their filters have.  Main
 * thread. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <inttypes.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "packets.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"
#include "vswitchd/vswitchd.h"

static struct json *
describe_address(struct uplink_address *address)
{
    struct json *object = json_object_create();
    struct json *ports = json_array_create_empty();
    long long int used = atomic_load(&address->used);
    const struct use *use;

    json_object_put_format(object, "address", ETH_ADDR_FMT,
                           ETH_ADDR_ARGS(address->ea));
    json_object_put(object, "database",
                    json_boolean_create(address->n_static > 0));
    LIST_FOR_EACH (use, address_node, &address->uses) {
        json_array_add(ports, json_string_create(use->origin->name[0]
                                                 ? use->origin->name
                                                 : "controller"));
    }
    json_object_put(object, "ports", ports);
    json_object_put(object, "in_use",
                    json_boolean_create(atomic_load(&address->refs) > 0));
    json_object_put(object, "idle_seconds",
                    json_integer_create((time_msec() - used) / 1000));
    return object;
}

static void
describe_uplink(const struct port *port, struct json *array)
{
    const struct uplink *uplink = port->uplink;
    struct json *addresses = json_array_create_empty();
    struct json *devices = json_array_create_empty();
    struct json *groups = json_array_create_empty();
    struct json *vids = json_array_create_empty();
    struct json *object = json_object_create();
    struct uplink_address *address;
    const struct member *member;

    HMAP_FOR_EACH (address, node, &uplink->addresses) {
        if (!address->missing) {
            json_array_add(addresses, describe_address(address));
        }
    }
    LIST_FOR_EACH (member, node, &uplink->members) {
        json_array_add(devices, json_string_create(member->filter->name));
    }
    member = CONTAINER_OF(ovs_list_front(&uplink->members), struct member,
                          node);
    for (size_t i = 0; i < member->filter->n_groups; i++) {
        char *s = xasprintf(ETH_ADDR_FMT,
                            ETH_ADDR_ARGS(member->filter->groups[i]));

        json_array_add(groups, json_string_create_nocopy(s));
    }
    for (int vid = 1; vid < 4096; vid++) {
        if (uplink->vid_refs[vid]) {
            json_array_add(vids, json_integer_create(vid));
        }
    }
    json_object_put_string(object, "uplink", uplink->name);
    json_object_put_string(object, "bridge", port->bridge->name);
    json_object_put(object, "devices", devices);
    json_object_put(object, "max", json_integer_create(uplink->max));
    json_object_put(object, "learning",
                    json_boolean_create(uplink->learning));
    json_object_put(object, "overflow",
                    json_boolean_create(uplink->overflow));
    json_object_put(object, "refused",
                    json_integer_create(uplink->n_refused));
    json_object_put(object, "vlans", vids);
    json_object_put(object, "groups", groups);
    json_object_put(object, "addresses", addresses);
    json_array_add(array, object);
}

static const struct json *
member_of(const struct json *object, const char *name)
{
    return shash_find_data(json_object(object), name);
}

/* Adds the elements of array 'json' to 's'. */
static void
format_list(struct ds *s, const struct json *json)
{
    for (size_t i = 0; i < json_array(json)->n; i++) {
        const struct json *elem = json_array(json)->elems[i];

        ds_put_cstr(s, i ? "," : "");
        if (elem->type == JSON_STRING) {
            ds_put_cstr(s, json_string(elem));
        } else {
            ds_put_format(s, "%"PRId64, json_integer(elem));
        }
    }
}

static void
format_uplink(struct ds *s, const struct json *uplink)
{
    const struct json *addresses = member_of(uplink, "addresses");

    ds_put_format(s, "%s (bridge %s): %"PRIuSIZE" of %"PRId64" addresses%s%s, "
                  "devices ",
                  json_string(member_of(uplink, "uplink")),
                  json_string(member_of(uplink, "bridge")),
                  json_array(addresses)->n,
                  json_integer(member_of(uplink, "max")),
                  json_boolean(member_of(uplink, "learning"))
                  ? "" : ", not learning",
                  json_boolean(member_of(uplink, "overflow"))
                  ? ", OVERFLOW" : "");
    format_list(s, member_of(uplink, "devices"));
    ds_put_cstr(s, "; VLANs ");
    format_list(s, member_of(uplink, "vlans"));
    if (json_array(member_of(uplink, "groups"))->n) {
        ds_put_cstr(s, "; groups ");
        format_list(s, member_of(uplink, "groups"));
    }
    ds_put_char(s, '\n');
    for (size_t i = 0; i < json_array(addresses)->n; i++) {
        const struct json *address = json_array(addresses)->elems[i];

        ds_put_format(s, "  %s %s ",
                      json_string(member_of(address, "address")),
                      json_boolean(member_of(address, "database"))
                      ? "database" : "learnt");
        format_list(s, member_of(address, "ports"));
        if (!json_boolean(member_of(address, "in_use"))) {
            ds_put_format(s, " idle %"PRId64" s",
                          json_integer(member_of(address, "idle_seconds")));
        }
        ds_put_char(s, '\n');
    }
}

/* "sluice/softmac [PORT] [--format=json]": the uplinks and their addresses. */
static void
softmac_cmd(struct unixctl_conn *conn, int argc, const char *argv[],
            void *aux OVS_UNUSED)
{
    struct json *array = json_array_create_empty();
    struct ds s = DS_EMPTY_INITIALIZER;
    const char *name = NULL;
    struct bridge *br;
    bool json = false;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--format=json")) {
            json = true;
        } else {
            name = argv[i];
        }
    }
    ovs_mutex_lock(&softmac_mutex);
    BRIDGE_FOR_EACH (br) {
        const struct port *port;

        LIST_FOR_EACH (port, uplink_node, &br->uplinks) {
            if (!name || !strcmp(name, port->name)) {
                describe_uplink(port, array);
            }
        }
    }
    ovs_mutex_unlock(&softmac_mutex);

    struct json *reply = json_object_create();
    json_object_put(reply, "uplinks", array);
    json_object_put(reply, "netlink_requests",
                    json_integer_create(link_n_requests));
    if (json) {
        json_to_ds(reply, JSSF_SORT, &s);
    } else {
        for (size_t i = 0; i < json_array(array)->n; i++) {
            format_uplink(&s, json_array(array)->elems[i]);
        }
    }
    unixctl_command_reply(conn, ds_cstr(&s));
    ds_destroy(&s);
    json_destroy(reply);
}

void
softmac_show_init(void)
{
    unixctl_command_register("sluice/softmac", "[PORT] [--format=json]", 0, 2,
                             softmac_cmd, NULL);
}

/* Commands on the control socket, beside those that libofproto has. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "ofproto/ofproto.h"
#include "openvswitch/dynamic-string.h"
#include "unixctl.h"
#include "util.h"

static struct bridge *
find_bridge(struct unixctl_conn *conn, const char *name)
{
    struct bridge *br = bridge_find(name);

    if (!br || !br->ofproto) {
        unixctl_command_reply_error(conn, "Unknown bridge");
        return NULL;
    }
    return br;
}

/* "bridge/dump-flows [--offload-stats] BRIDGE": all flows, also those that are
 * hidden from OpenFlow. */
static void
dump_flows(struct unixctl_conn *conn, int argc, const char *argv[],
           void *aux OVS_UNUSED)
{
    struct bridge *br = find_bridge(conn, argv[argc - 1]);
    bool offload_stats = argc > 2 && !strcmp(argv[1], "--offload-stats");
    struct ds results = DS_EMPTY_INITIALIZER;

    if (br) {
        ofproto_get_all_flows(br->ofproto, &results, offload_stats);
        unixctl_command_reply(conn, ds_cstr(&results));
    }
    ds_destroy(&results);
}

/* "bridge/reconnect [BRIDGE]": drops the connections to the controllers of
 * BRIDGE, or all bridges, and makes them anew. */
static void
reconnect(struct unixctl_conn *conn, int argc, const char *argv[],
          void *aux OVS_UNUSED)
{
    struct bridge *br;

    if (argc > 1) {
        br = find_bridge(conn, argv[1]);
        if (!br) {
            return;
        }
        ofproto_reconnect_controllers(br->ofproto);
    } else {
        BRIDGE_FOR_EACH (br) {
            if (br->ofproto) {
                ofproto_reconnect_controllers(br->ofproto);
            }
        }
    }
    unixctl_command_reply(conn, NULL);
}

/* Registers the commands. */
void
commands_init(void)
{
    unixctl_command_register("bridge/dump-flows", "[--offload-stats] bridge",
                             1, 2, dump_flows, NULL);
    unixctl_command_register("bridge/reconnect", "[bridge]", 0, 1,
                             reconnect, NULL);
    qos_init();
}

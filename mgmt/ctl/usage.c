/* The help text. */
#include <config.h>
#include "usage.h"

#include <stdio.h>
#include <stdlib.h>

#include "db-ctl-base.h"
#include "openvswitch/vlog.h"
#include "stream.h"
#include "table.h"
#include "util.h"

static const char commands[] = "\
Whole switch:\n\
  init                        create the database's root row\n\
  show                        print the configuration as a tree\n\
  emer-reset                  take back what managers and controllers set up\n\
\n\
Bridges:\n\
  add-br BRIDGE               add BRIDGE\n\
  add-br BRIDGE PARENT VLAN   add fake BRIDGE, which is VLAN of PARENT\n\
  del-br BRIDGE               delete BRIDGE with its ports\n\
  list-br                     print the names of the bridges\n\
  br-exists BRIDGE            exit with status 2 if there is no BRIDGE\n\
  br-to-vlan BRIDGE           print the VLAN of a fake bridge, or 0\n\
  br-to-parent BRIDGE         print the parent of a fake bridge\n\
  br-set-external-id BRIDGE KEY VALUE  set KEY of BRIDGE to VALUE\n\
  br-set-external-id BRIDGE KEY        unset KEY of BRIDGE\n\
  br-get-external-id BRIDGE KEY        print KEY's value\n\
  br-get-external-id BRIDGE            print all keys and values\n\
\n\
Ports (a bond is one port):\n\
  list-ports BRIDGE           print the names of BRIDGE's ports\n\
  add-port BRIDGE PORT [COLUMN[:KEY]=VALUE]...  add network device PORT\n\
  add-bond BRIDGE PORT IFACE...  add bond PORT, made of IFACEs\n\
  add-bond-iface PORT IFACE   add IFACE to bond PORT\n\
  del-bond-iface [PORT] IFACE take IFACE out of its bond\n\
  del-port [BRIDGE] PORT      delete PORT\n\
  port-to-br PORT             print the bridge that has PORT\n\
\n\
Interfaces (a bond has several):\n\
  list-ifaces BRIDGE          print the names of BRIDGE's interfaces\n\
  iface-to-br IFACE           print the bridge that has IFACE\n\
\n\
Controllers:\n\
  get-controller BRIDGE       print BRIDGE's controllers\n\
  del-controller BRIDGE       delete BRIDGE's controllers\n\
  [--inactivity-probe=MSECS]\n\
  set-controller BRIDGE TARGET...  set BRIDGE's controllers\n\
  get-fail-mode BRIDGE        print what BRIDGE does without a controller\n\
  del-fail-mode BRIDGE        go back to the default\n\
  set-fail-mode BRIDGE MODE   set it to \"standalone\" or \"secure\"\n\
\n\
Managers:\n\
  get-manager                 print the managers\n\
  del-manager                 delete the managers\n\
  [--inactivity-probe=MSECS]\n\
  set-manager TARGET...       set the managers\n\
\n\
TLS:\n\
  get-ssl                     print the keys and certificates in use\n\
  del-ssl                     delete that configuration\n\
  set-ssl PRIV-KEY CERT CA-CERT  set it\n\
\n\
Auto Attach:\n\
  add-aa-mapping BRIDGE I-SID VLAN  have I-SID carried as VLAN\n\
  del-aa-mapping BRIDGE I-SID VLAN  end that\n\
  get-aa-mapping BRIDGE       print BRIDGE's mappings\n\
\n\
Datapaths:\n\
  add-zone-tp DP zone=ID KEY=SECONDS...  set timeouts of a conntrack zone\n\
  del-zone-tp DP zone=ID      go back to the default timeouts\n\
  list-zone-tp DP             print the timeouts of all zones\n\
  list-dp-cap DP              print what DP can do\n\
\n";

static const char own_commands[] = "\
Guests:\n\
  add-vhost BRIDGE PORT SOCKET [client|server] [KEY=VALUE]...\n\
                              add vhost-user PORT: the switch connects to\n\
                              SOCKET (client, the default) or listens\n\
\n\
Looking at the running switch (each also with --format=json):\n\
  port PORT                   everything about PORT on one screen\n\
  top [--interval=S] [--count=N]  rates, cache hits, threads, drops; live\n\
  why PORT                    why PORT's last dropped packets were dropped\n\
  watch [TABLE]...            print changes of the configuration\n\
  health                      one line, and exit status 0 if all is well\n\
  doctor                      examine the host, and say what to do\n\
\n";

static const char options[] = "\
\n\
Options:\n\
  --db=DATABASE               connect to DATABASE\n\
                              (default: %s)\n\
  --no-wait                   don't wait for the switch to follow\n\
  --retry                     keep trying to connect\n\
  -t, --timeout=SECS          give up after SECS seconds\n\
  --dry-run                   don't commit changes\n\
  --oneline                   print one line for each command\n";

/* Prints the help text and exits.  'compat' leaves out what ovs-vsctl doesn't
 * have. */
void
usage(bool compat)
{
    printf("%s: ovs-vswitchd management utility\n"
           "usage: %s [OPTIONS] COMMAND [ARG...]\n\n"
           "%s%s%s%s",
           program_name, program_name, commands, compat ? "" : own_commands,
           ctl_get_db_cmd_usage(), ctl_list_db_tables_usage());
    printf(options, ctl_default_db());
    table_usage();
    vlog_usage();
    printf("  --no-syslog                 same as "
           "--verbose=vsctl:syslog:warn\n");
    stream_usage("database", true, true, true);
    printf("\n\
Other options:\n\
  -h, --help                  display this help message\n\
  -V, --version               display version information\n");
    exit(EXIT_SUCCESS);
}

/* sluice-vswitchd: the switch daemon. */
#include <config.h>
#include "daemon.h"
#include "datapath/datapath.h"
#include "dirs.h"
#include "dpif.h"
#include "dpif-provider.h"
#include "schemas/vswitch-idl.h"
#include "util.h"

int
main(int argc, char *argv[])
{
    set_program_name(argv[0]);
    service_start(&argc, &argv);
    datapath_init(ovs_rundir());
    datapath_exit();
    return 0;
}

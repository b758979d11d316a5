/* Start and stop of the datapath: see datapath.h. */
#include <config.h>
#include "datapath/datapath.h"

#include "vhost/vhost.h"

void
datapath_init(const char *rundir)
{
    (void) rundir;
}

void
datapath_exit(void)
{
}

/* The log module "vsctl", which is shared by the program's files: it is the
 * one name that ovs-vsctl's users know from "-vvsctl:..." and from the log. */
#ifndef SLUICE_CTL_LOG_H
#define SLUICE_CTL_LOG_H 1

#include "openvswitch/vlog.h"

extern struct vlog_module *VLM_vsctl; /* Defined in main.c. */
#define this_module (*VLM_vsctl)      /* What VLOG_WARN() and others log to. */

#endif /* log.h */

/* The reconciler's log module.
 *
 * All of its files log as module "bridge", which is the name that users of
 * Open vSwitch set levels for and that scripts look for in logs.  reconciler.c
 * defines the module; the other files include this. */
#ifndef LOG_H
#define LOG_H 1

#include "openvswitch/vlog.h"

extern struct vlog_module *VLM_bridge;
#define this_module (*VLM_bridge)

#endif /* log.h */

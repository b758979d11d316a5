/* What other commands that add ports share with "add-port". */
#ifndef SLUICE_CTL_PORT_COMMANDS_H
#define SLUICE_CTL_PORT_COMMANDS_H 1

#include <stddef.h>

struct ctl_context;
struct port;

struct port *add_port(struct ctl_context *, const char *br_name,
                      const char *name,
                      char *iface_names[], size_t n_ifaces,
                      char *port_settings[], size_t n_settings);

#endif /* port-commands.h */

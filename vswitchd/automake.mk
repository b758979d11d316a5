# The switch daemon: see vswitchd/main.c and vswitchd/vswitchd.h.
sbin_PROGRAMS += vswitchd/sluice-vswitchd
vswitchd_sluice_vswitchd_SOURCES = \
	vswitchd/address.c \
	vswitchd/auto-attach.c \
	vswitchd/bond.c \
	vswitchd/bridge.c \
	vswitchd/commands.c \
	vswitchd/controller.c \
	vswitchd/datapath-config.c \
	vswitchd/flow-export.c \
	vswitchd/flow-table.c \
	vswitchd/interface.c \
	vswitchd/liveness.c \
	vswitchd/log.h \
	vswitchd/main.c \
	vswitchd/mirror.c \
	vswitchd/multicast.c \
	vswitchd/options.c \
	vswitchd/port.c \
	vswitchd/qos.c \
	vswitchd/reconciler.c \
	vswitchd/row-set.c \
	vswitchd/service-notify.c \
	vswitchd/service-notify.h \
	vswitchd/settings.c \
	vswitchd/softmac.c \
	vswitchd/softmac.h \
	vswitchd/softmac-filter.c \
	vswitchd/softmac-groups.c \
	vswitchd/softmac-limits.c \
	vswitchd/softmac-link.c \
	vswitchd/softmac-options.c \
	vswitchd/softmac-origin.c \
	vswitchd/softmac-show.c \
	vswitchd/softmac-stated.c \
	vswitchd/softmac-status.c \
	vswitchd/softmac-table.c \
	vswitchd/softmac-uplink.c \
	vswitchd/softmac-vids.c \
	vswitchd/softmac-vlan.c \
	vswitchd/spanning-tree.c \
	vswitchd/stats.c \
	vswitchd/status.c \
	vswitchd/system-stats.c \
	vswitchd/unknown-keys.c \
	vswitchd/vswitchd.h
vswitchd_sluice_vswitchd_CFLAGS = $(AM_CFLAGS) $(LIBNL_CFLAGS)
vswitchd_sluice_vswitchd_LDFLAGS = $(AM_LDFLAGS) $(WRAP_OPENVSWITCH)
vswitchd_sluice_vswitchd_LDADD = schemas/libvswitch-idl.a \
	schemas/libknown-keys.a $(DATAPATH_LDADD) \
	$(OFPROTO_LDADD) $(LIBNL_LIBS)

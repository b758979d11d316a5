# The switch itself: see datapath/datapath.h.
noinst_LIBRARIES += datapath/libdatapath.a
datapath_libdatapath_a_SOURCES = \
	datapath/actions.c \
	datapath/announce.c \
	datapath/announce.h \
	datapath/addresses.c \
	datapath/addresses.h \
	datapath/atomic.h \
	datapath/bond-map.c \
	datapath/bond-map.h \
	datapath/closer.c \
	datapath/closer.h \
	datapath/coalesce.c \
	datapath/coalesce.h \
	datapath/conntrack-action.c \
	datapath/conntrack-action.h \
	datapath/datapath.c \
	datapath/datapath.h \
	datapath/dpif-conntrack.c \
	datapath/dpif-flow.c \
	datapath/dpif-private.h \
	datapath/dpif-provider.c \
	datapath/drops.c \
	datapath/flow-convert.c \
	datapath/flow-convert.h \
	datapath/flow-key.h \
	datapath/generic.c \
	datapath/host-stack.c \
	datapath/host-stack.h \
	datapath/kernel-io.c \
	datapath/kernel-io.h \
	datapath/link-stats.c \
	datapath/link-stats.h \
	datapath/megaflow.c \
	datapath/megaflow.h \
	datapath/meter.c \
	datapath/meter.h \
	datapath/microflow.h \
	datapath/namesake.c \
	datapath/namesake.h \
	datapath/netdev-system.c \
	datapath/netdev-system.h \
	datapath/netdev-tap.c \
	datapath/netdev-tap.h \
	datapath/netdev-vhost.c \
	datapath/netdev-vhost.h \
	datapath/offload.c \
	datapath/port-afxdp.c \
	datapath/port-netdev.c \
	datapath/port-netdev.h \
	datapath/policer.c \
	datapath/policer.h \
	datapath/port-qos.c \
	datapath/port-qos.h \
	datapath/port-packet.c \
	datapath/port-tap.c \
	datapath/port-tunnel.c \
	datapath/port-vhost.c \
	datapath/port.c \
	datapath/port.h \
	datapath/private.h \
	datapath/program.c \
	datapath/program.h \
	datapath/receive.c \
	datapath/thread.c \
	datapath/tracked.c \
	datapath/transmit.c \
	datapath/tunnel-header.c \
	datapath/tunnel-header.h \
	datapath/tunnel-native.c \
	datapath/tunnel-native.h \
	datapath/tunnel-send.c \
	datapath/tunnel-send.h \
	datapath/unixctl.c \
	datapath/upcall-queue.c \
	datapath/upcall-queue.h \
	datapath/upcall.c \
	datapath/xdp-program.c \
	datapath/xdp-program.h
# The hot path is worth more inlining than -O2 does.
datapath_libdatapath_a_CFLAGS = $(AM_CFLAGS) $(XDP_CFLAGS) -O3
DATAPATH_LDADD = datapath/libdatapath.a $(VHOST_LDADD) $(XDP_LIBS)
# Functions of libopenvswitch that ours stand in for: see netdev-system.c,
# dpif-provider.c and generic.c.
WRAP_ROUTE_TABLE = -Wl,--wrap=route_table_run -Wl,--wrap=route_table_wait
WRAP_OPENVSWITCH = $(WRAP_ROUTE_TABLE) -Wl,--wrap=dpif_is_netdev \
	-Wl,--wrap=odp_tun_key_from_attr

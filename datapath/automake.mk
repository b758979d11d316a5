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
	datapath/device-work.c \
	datapath/device-work.h \
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
	datapath/header-template.h \
	datapath/kernel-io.c \
	datapath/kernel-io.h \
	datapath/kernel/compile.c \
	datapath/kernel/connections.c \
	datapath/kernel/engine.c \
	datapath/kernel/engine.h \
	datapath/kernel/flows.c \
	datapath/kernel/kernel.h \
	datapath/kernel/maps.h \
	datapath/kernel/ports.c \
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
	datapath/output-limit.c \
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
	datapath/tc-program.c \
	datapath/tc-program.h \
	datapath/thread.c \
	datapath/tracked.c \
	datapath/transmit.c \
	datapath/tunnel-device.c \
	datapath/tunnel-device.h \
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
datapath_libdatapath_a_CFLAGS = $(AM_CFLAGS) $(XDP_CFLAGS)
DATAPATH_LDADD = datapath/libdatapath.a $(VHOST_LDADD) $(XDP_LIBS)

# The kernel engine's programs, in a header that the daemon includes.  They use
# nothing that differs between kernels: neither BTF nor a kernel's own headers
# are needed.
EXTRA_DIST += datapath/kernel/fastpath.bpf.c datapath/kernel/rewrite.bpf.h
BPF_OBJECT = datapath/kernel/fastpath.bpf.o
BPF_SKELETON = datapath/kernel/fastpath.skel.h
$(BPF_OBJECT): $(srcdir)/datapath/kernel/fastpath.bpf.c \
		$(srcdir)/datapath/kernel/rewrite.bpf.h \
		$(srcdir)/datapath/kernel/maps.h $(srcdir)/datapath/flow-key.h
	$(AM_V_GEN)$(MKDIR_P) datapath/kernel && \
	$(BPF_CLANG) -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra \
	    -Werror $(XDP_CFLAGS) -idirafter $(MULTIARCH_INCLUDE) \
	    -I$(top_srcdir) -c $(srcdir)/datapath/kernel/fastpath.bpf.c -o $@
$(BPF_SKELETON): $(BPF_OBJECT)
	$(AM_V_GEN)$(BPFTOOL) gen skeleton $(BPF_OBJECT) name fastpath_bpf >$@.tmp \
	    2>/dev/null && mv $@.tmp $@
BUILT_SOURCES += $(BPF_SKELETON)
CLEANFILES += $(BPF_OBJECT) $(BPF_SKELETON)
# Functions that ours stand in for where libopenvswitch calls them: see
# netdev-system.c, dpif-provider.c, generic.c and output-limit.c.
WRAP_ROUTE_TABLE = -Wl,--wrap=route_table_run -Wl,--wrap=route_table_wait
WRAP_OPENVSWITCH = $(WRAP_ROUTE_TABLE) -Wl,--wrap=dpif_is_netdev \
	-Wl,--wrap=odp_tun_key_from_attr -Wl,--wrap=fopen

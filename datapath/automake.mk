# The switch itself: see datapath/datapath.h.
noinst_LIBRARIES += datapath/libdatapath.a
datapath_libdatapath_a_SOURCES = \
	datapath/datapath.c \
	datapath/datapath.h \
	datapath/host-stack.c \
	datapath/host-stack.h \
	datapath/kernel-io.c \
	datapath/kernel-io.h \
	datapath/netdev-tap.c \
	datapath/netdev-tap.h \
	datapath/port-packet.c \
	datapath/port-tap.c \
	datapath/port.h
datapath_libdatapath_a_CFLAGS = $(AM_CFLAGS)
DATAPATH_LDADD = datapath/libdatapath.a $(VHOST_LDADD)
# lib/dpif.c decides by dpif_is_netdev() what a user-space datapath can do.
WRAP_DPIF_IS_NETDEV = -Wl,--wrap=dpif_is_netdev

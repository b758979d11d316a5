# The switch daemon: see vswitchd/main.c.
sbin_PROGRAMS += vswitchd/sluice-vswitchd
vswitchd_sluice_vswitchd_SOURCES = \
	vswitchd/main.c
vswitchd_sluice_vswitchd_CFLAGS = $(AM_CFLAGS) $(LIBNL_CFLAGS)
vswitchd_sluice_vswitchd_LDFLAGS = $(AM_LDFLAGS) $(WRAP_DPIF_IS_NETDEV)
vswitchd_sluice_vswitchd_LDADD = schemas/libvswitch-idl.a $(DATAPATH_LDADD) \
	$(OFPROTO_LDADD) $(LIBNL_LIBS)

# The command line: see mgmt/ctl/main.c.
bin_PROGRAMS += mgmt/ctl/sluice-ctl
mgmt_ctl_sluice_ctl_SOURCES = \
	mgmt/ctl/main.c
mgmt_ctl_sluice_ctl_LDADD = schemas/libvswitch-idl.a $(OVS_LDADD)

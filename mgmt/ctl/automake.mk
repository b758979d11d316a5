# The command line: see mgmt/ctl/main.c.
bin_PROGRAMS += mgmt/ctl/sluice-ctl
mgmt_ctl_sluice_ctl_SOURCES = \
	mgmt/ctl/bridge-commands.c \
	mgmt/ctl/controller-commands.c \
	mgmt/ctl/doctor.c \
	mgmt/ctl/doctor.h \
	mgmt/ctl/doctor-settings.c \
	mgmt/ctl/doctor-uplinks.c \
	mgmt/ctl/health.c \
	mgmt/ctl/log.h \
	mgmt/ctl/main.c \
	mgmt/ctl/port-commands.c \
	mgmt/ctl/port-commands.h \
	mgmt/ctl/port-report.c \
	mgmt/ctl/schema-names.c \
	mgmt/ctl/schema-names.h \
	mgmt/ctl/scope-fetch.c \
	mgmt/ctl/scope-private.h \
	mgmt/ctl/scope.c \
	mgmt/ctl/scope.h \
	mgmt/ctl/session.c \
	mgmt/ctl/session.h \
	mgmt/ctl/report.c \
	mgmt/ctl/report.h \
	mgmt/ctl/rpc.c \
	mgmt/ctl/rpc.h \
	mgmt/ctl/system-commands.c \
	mgmt/ctl/tools.c \
	mgmt/ctl/tools.h \
	mgmt/ctl/top.c \
	mgmt/ctl/topology.c \
	mgmt/ctl/topology.h \
	mgmt/ctl/usage.c \
	mgmt/ctl/usage.h \
	mgmt/ctl/vhost-commands.c \
	mgmt/ctl/watch.c \
	mgmt/ctl/why.c
mgmt_ctl_sluice_ctl_LDADD = schemas/libvswitch-idl.a \
	schemas/libknown-keys.a $(OVS_LDADD)
EXTRA_DIST += tests/ctl/commands.txt tests/ctl/differential \
	tests/ctl/fake-switch
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = mgmt/ctl/completion/sluice-ctl

# The Autotest suite and what it drives.

# The pool of service threads.
check_PROGRAMS += tests/vhost/test-pool
tests_vhost_test_pool_SOURCES = tests/vhost/test-pool.c
tests_vhost_test_pool_LDADD = $(VHOST_LDADD) $(OVS_LDADD)

# Two connected vhost-user devices.
check_PROGRAMS += tests/vhost/connect-two
tests_vhost_connect_two_SOURCES = tests/vhost/connect-two.c
tests_vhost_connect_two_LDADD = $(VHOST_LDADD) $(OVS_LDADD)

# Kernel ports, without a datapath between them.
check_PROGRAMS += tests/datapath/connect-kernel
tests_datapath_connect_kernel_SOURCES = tests/datapath/connect-kernel.c
tests_datapath_connect_kernel_LDADD = $(DATAPATH_LDADD) $(OVS_LDADD)

# The compact flow key against libopenvswitch's own parser.
check_PROGRAMS += tests/datapath/test-flow-key
tests_datapath_test_flow_key_SOURCES = tests/datapath/test-flow-key.c
tests_datapath_test_flow_key_LDADD = $(DATAPATH_LDADD) $(OVS_LDADD)

# The vhost service against a scripted front-end.
check_PROGRAMS += tests/vhost/test-vhost
tests_vhost_test_vhost_SOURCES = tests/vhost/front-end.c \
	tests/vhost/front-end.h tests/vhost/test-vhost.c
tests_vhost_test_vhost_LDADD = $(VHOST_LDADD) $(OVS_LDADD)

# Guests whose back-end is killed at any moment.
check_PROGRAMS += tests/vhost/test-restart
tests_vhost_test_restart_SOURCES = tests/vhost/front-end.c \
	tests/vhost/front-end.h tests/vhost/test-restart.c
tests_vhost_test_restart_LDADD = $(VHOST_LDADD) $(OVS_LDADD)

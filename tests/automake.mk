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

check_PROGRAMS += tests/vhost/test-sleep-model
tests_vhost_test_sleep_model_SOURCES = tests/vhost/test-sleep-model.c
tests_vhost_test_sleep_model_LDADD = $(OVS_LDADD)

# The Autotest suite and what it drives: see tests/functions.sh.
TESTSUITE = tests/testsuite
TESTSUITE_AT = $(wildcard $(srcdir)/tests/*.at)
GUEST_FILES = tests/guest/make-guest tests/guest/init tests/guest/run \
	tests/guest/exec
EXTRA_DIST += $(TESTSUITE_AT) $(wildcard $(srcdir)/tests/db/*) $(GUEST_FILES) \
	tests/foreign tests/functions.sh tests/guest/add-files tests/guest/qmp \
	tests/private-libvirtd \
	tests/hugepages.sh tests/learning-controller.py tests/lsan.supp \
	tests/sandbox tests/softmac/churn.py tests/vhost-hangup
CLEANFILES += tests/package.m4 $(TESTSUITE) tests/testsuite.log \
	tests/guest/initrd tests/guest/vmlinux tests/guest/bzImage \
	tests/guest-full/initrd tests/guest-full/vmlinux
DISTCLEANFILES += tests/atconfig

tests/package.m4: $(top_srcdir)/configure.ac
	$(AM_V_GEN){ \
	    echo 'm4_define([AT_PACKAGE_NAME], [$(PACKAGE_NAME)])'; \
	    echo 'm4_define([AT_PACKAGE_TARNAME], [$(PACKAGE_TARNAME)])'; \
	    echo 'm4_define([AT_PACKAGE_VERSION], [$(PACKAGE_VERSION)])'; \
	    echo 'm4_define([AT_PACKAGE_STRING], [$(PACKAGE_STRING)])'; \
	    echo 'm4_define([AT_PACKAGE_BUGREPORT], [$(PACKAGE_BUGREPORT)])'; \
	    echo 'm4_define([AT_PACKAGE_URL], [$(PACKAGE_URL)])'; \
	} > $@
$(TESTSUITE): $(TESTSUITE_AT) tests/package.m4
	$(AM_V_GEN)$(AUTOM4TE) --language=autotest -I $(srcdir) \
	    -I $(srcdir)/tests -I tests -o $@.tmp testsuite.at && mv $@.tmp $@

# Programs of other projects, unpacked from Debian's packages, and the guest.
foreign/stamp: tests/foreign
	$(AM_V_GEN)$(srcdir)/tests/foreign foreign >foreign.out 2>&1 \
	    || { cat foreign.out; exit 1; }
	@touch $@
tests/guest/initrd: $(GUEST_FILES) foreign/stamp
	@$(MKDIR_P) tests/guest
	$(AM_V_GEN)$(srcdir)/tests/guest/make-guest foreign tests/guest
tests/guest-full/initrd: $(GUEST_FILES) foreign/stamp
	@$(MKDIR_P) tests/guest-full
	$(AM_V_GEN)$(srcdir)/tests/guest/make-guest foreign tests/guest-full \
	    kernel-version-full
distclean-local::
	rm -rf foreign foreign.out sanitize autom4te.cache
.PHONY: foreign
foreign: foreign/stamp

# TESTSUITEFLAGS: -jN, test numbers, -k KEYWORD, -v, -d (keep directories)...
check-local: all $(check_PROGRAMS) $(check_DATA) $(TESTSUITE) tests/atlocal \
		tests/guest/initrd tests/guest-full/initrd tests/fuzz/db-fuzz $(VHOST_FUZZERS)
	$(srcdir)/tests/sandbox bash $(TESTSUITE) -C tests $(TESTSUITEFLAGS)
clean-local::
	test ! -f $(TESTSUITE) || bash $(TESTSUITE) -C tests --clean

# The same with our code under AddressSanitizer and UBSan, in sanitize/.  Open
# vSwitch's libraries and what was unpacked are shared with this build.
.PHONY: sanitize check-sanitize
sanitize: $(OVS_STAMP)
	@$(MKDIR_P) sanitize
	@cd sanitize && { test -f config.status || \
	    $(abs_top_srcdir)/configure -q CC="$(CC)" CFLAGS='-O1 -g' \
	        --enable-sanitizers --with-openvswitch=$(OVS_BUILDDIR); }
	@ln -sfn ../foreign sanitize/foreign
	$(MAKE) -C sanitize
check-sanitize: sanitize foreign/stamp
	SLUICE_TEST_PATIENCE=10 $(MAKE) -C sanitize check

# Benchmarks: `make bench' builds and runs them.  Their programs are for the
# processor that they are built on.
BENCH_CFLAGS = $(AM_CFLAGS) -march=native
BENCH_TOOLS = tests/bench/vhost-gen tests/bench/vhost-yardstick
EXTRA_PROGRAMS = $(BENCH_TOOLS)
tests_bench_vhost_gen_SOURCES = tests/bench/frontend.c tests/bench/frontend.h \
	tests/bench/traffic.h tests/bench/vhost-gen.c
tests_bench_vhost_gen_CFLAGS = $(BENCH_CFLAGS)
tests_bench_vhost_yardstick_SOURCES = tests/bench/vhost-yardstick.c
tests_bench_vhost_yardstick_CFLAGS = $(BENCH_CFLAGS)
CLEANFILES += $(EXTRA_PROGRAMS)
EXTRA_DIST += tests/bench/kernel tests/bench/overload tests/bench/ports \
	tests/bench/softmac tests/bench/switch tests/bench/vhost
.PHONY: bench
bench: all $(BENCH_TOOLS) tests/atlocal foreign/stamp tests/guest/initrd
	$(srcdir)/tests/bench/switch $(BENCHFLAGS)

.PHONY: bench-overload
bench-overload: all $(BENCH_TOOLS) tests/atlocal foreign/stamp
	$(srcdir)/tests/bench/overload $(BENCHFLAGS)

.PHONY: bench-kernel
bench-kernel: all foreign/stamp
	$(srcdir)/tests/bench/kernel $(BENCHFLAGS)

.PHONY: bench-vhost
bench-vhost: all $(BENCH_TOOLS) tests/vhost/connect-two tests/vhost/test-vhost \
		tests/atlocal
	$(srcdir)/tests/bench/vhost $(BENCHFLAGS)

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
tests_datapath_connect_kernel_LDFLAGS = $(AM_LDFLAGS) $(WRAP_ROUTE_TABLE)
tests_datapath_connect_kernel_LDADD = $(DATAPATH_LDADD) $(OVS_LDADD)

# How the pool's threads go to sleep, in all interleavings.
check_PROGRAMS += tests/vhost/test-sleep-model
tests_vhost_test_sleep_model_SOURCES = tests/vhost/test-sleep-model.c
tests_vhost_test_sleep_model_LDADD = $(OVS_LDADD)

# Tunnel headers, there and back.
check_PROGRAMS += tests/datapath/test-tunnel-header
tests_datapath_test_tunnel_header_SOURCES = tests/datapath/test-tunnel-header.c
tests_datapath_test_tunnel_header_LDADD = $(DATAPATH_LDADD) $(OVS_LDADD)

# The compact flow key against libopenvswitch's own parser.
check_PROGRAMS += tests/datapath/test-flow-key
RANDOM_FRAME = tests/datapath/random-frame.c tests/datapath/random-frame.h
tests_datapath_test_flow_key_SOURCES = tests/datapath/test-flow-key.c \
	$(RANDOM_FRAME)
tests_datapath_test_flow_key_LDADD = $(DATAPATH_LDADD) $(OVS_LDADD)

# The kernel engine's programs against the user engine and libopenvswitch.
check_PROGRAMS += tests/datapath/test-kernel-engine
tests_datapath_test_kernel_engine_SOURCES = \
	tests/datapath/test-kernel-engine.c $(RANDOM_FRAME)
tests_datapath_test_kernel_engine_CFLAGS = $(AM_CFLAGS) $(XDP_CFLAGS)
tests_datapath_test_kernel_engine_LDFLAGS = $(AM_LDFLAGS) $(WRAP_OPENVSWITCH)
tests_datapath_test_kernel_engine_LDADD = $(DATAPATH_LDADD) $(OVS_LDADD) \
	$(DATAPATH_LDADD) $(OVS_LDADD)
EXTRA_DIST += tests/datapath/sequence.py

# The vhost service against a scripted front-end.
check_PROGRAMS += tests/vhost/test-vhost
tests_vhost_test_vhost_SOURCES = tests/vhost/front-end.c \
	tests/vhost/front-end.h tests/vhost/fixture.c \
	tests/vhost/test-bad-messages.c tests/vhost/test-buffers.c \
	tests/vhost/test-chains.c tests/vhost/test-idle.c \
	tests/vhost/test-life.c tests/vhost/test-mapping.c \
	tests/vhost/test-messages.c tests/vhost/test-multiqueue.c \
	tests/vhost/test-vhost.c tests/vhost/test-vhost.h
tests_vhost_test_vhost_LDADD = $(VHOST_LDADD) $(OVS_LDADD)

# A guest behind an IOMMU that forgets.
check_PROGRAMS += tests/vhost/test-iotlb
tests_vhost_test_iotlb_SOURCES = tests/vhost/front-end.c \
	tests/vhost/front-end.h tests/vhost/test-iotlb.c
tests_vhost_test_iotlb_LDADD = $(VHOST_LDADD) $(OVS_LDADD)

# The commit protocol of packed rings, killed at each store.
check_PROGRAMS += tests/vhost/test-commit
tests_vhost_test_commit_SOURCES = tests/vhost/front-end.c \
	tests/vhost/front-end.h tests/vhost/test-commit.c
tests_vhost_test_commit_LDADD = $(VHOST_LDADD) $(OVS_LDADD)

# Guests whose back-end is killed at any moment.
check_PROGRAMS += tests/vhost/test-restart
tests_vhost_test_restart_SOURCES = tests/vhost/front-end.c \
	tests/vhost/front-end.h tests/vhost/test-restart.c
tests_vhost_test_restart_LDADD = $(VHOST_LDADD) $(OVS_LDADD)

# Fuzzers of what guests and front-ends can say, by clang's libFuzzer.  The suite
# runs each for some seconds, from the corpus that is kept; `make fuzz' for
# FUZZ_SECONDS, and leaves what it finds in fuzz/.
FUZZ_SECONDS = 30
FUZZ_CC = clang-14
VHOST_FUZZERS = tests/fuzz/fuzz-rings tests/fuzz/fuzz-messages
CLEANFILES += $(VHOST_FUZZERS)
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz-rings.c \
	tests/fuzz/fuzz-messages.c
FUZZED_VHOST_FILES = $(vhost_libvhost_a_SOURCES) tests/vhost/front-end.c
$(VHOST_FUZZERS): %: %.c $(FUZZED_VHOST_FILES) $(OVS_STAMP)
	@$(MKDIR_P) tests/fuzz
	$(AM_V_CC)$(FUZZ_CC) $(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS) \
	    $(FUZZ_CFLAGS) -fno-sanitize-recover=all -o $@ \
	    $(filter %.c,$^) $(LIBEVENT_LIBS) $(OVS_LDADD)
.PHONY: fuzz
fuzz: $(VHOST_FUZZERS)
	@for f in rings messages; do \
	    $(MKDIR_P) fuzz/corpus/$$f && (cd fuzz && ../tests/fuzz/fuzz-$$f \
	        -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
	        corpus/$$f $(abs_top_srcdir)/tests/fuzz/corpus/$$f) || exit 1; \
	done

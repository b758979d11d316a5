# The Autotest suite and what it drives: see tests/functions.sh.
TESTSUITE = tests/testsuite
TESTSUITE_AT = $(wildcard $(srcdir)/tests/*.at)
GUEST_FILES = tests/guest/make-guest tests/guest/init tests/guest/run \
	tests/guest/exec
EXTRA_DIST += $(TESTSUITE_AT) $(GUEST_FILES) tests/foreign tests/functions.sh \
	tests/lsan.supp tests/sandbox tests/vhost-hangup
CLEANFILES += tests/package.m4 $(TESTSUITE) tests/testsuite.log \
	tests/guest/initrd tests/guest/vmlinux tests/guest/bzImage
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
distclean-local::
	rm -rf foreign foreign.out sanitize
.PHONY: foreign
foreign: foreign/stamp

# TESTSUITEFLAGS: -jN, test numbers, -k KEYWORD, -v, -d (keep directories)...
check-local: all $(check_PROGRAMS) $(TESTSUITE) tests/atlocal tests/guest/initrd
	$(srcdir)/tests/sandbox bash $(TESTSUITE) -C tests $(TESTSUITEFLAGS)
clean-local:
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

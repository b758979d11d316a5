# The Autotest suite and what it drives: see tests/functions.sh.
TESTSUITE = tests/testsuite
TESTSUITE_AT = $(wildcard $(srcdir)/tests/*.at)
EXTRA_DIST += $(TESTSUITE_AT) tests/functions.sh tests/sandbox tests/lsan.supp
CLEANFILES += tests/package.m4 $(TESTSUITE) tests/testsuite.log
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
	$(AM_V_GEN)$(AUTOM4TE) --language=autotest -I $(srcdir) -I $(srcdir)/tests \
	    -I tests \
	    -o $@.tmp testsuite.at && mv $@.tmp $@

# TESTSUITEFLAGS: -jN, test numbers, -k KEYWORD, -v, -d (keep directories)...
check-local: all $(check_PROGRAMS) $(TESTSUITE) tests/atlocal
	$(srcdir)/tests/sandbox bash $(TESTSUITE) -C tests $(TESTSUITEFLAGS)
clean-local:
	test ! -f $(TESTSUITE) || bash $(TESTSUITE) -C tests --clean

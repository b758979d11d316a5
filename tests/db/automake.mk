# What the tests of the database server need beside the suite itself.
EXTRA_DIST += \
	tests/db/app.py tests/db/canonical.py tests/db/differential.py \
	tests/db/durability.py tests/db/fault.py tests/db/fault-vfs.c \
	tests/db/functions.sh tests/db/generate.py tests/db/idl.py \
	tests/db/libovsdb.py tests/db/limits.py tests/db/listener.py tests/db/locked.py \
	tests/db/lookups.py \
	tests/db/make-certificates tests/db/make-log.py \
	tests/db/many.py tests/db/rbac.ovsschema tests/db/probe.py \
	tests/db/since.py tests/db/slow.py \
	tests/db/talk.py tests/db/test.ovsschema tests/db/wire.py \
	tests/fuzz/db-corpus tests/fuzz/db-fuzz.c

# The benchmark's clients: see tests/bench/db/run.
check_PROGRAMS += tests/bench/db/load
tests_bench_db_load_SOURCES = tests/bench/db/load.c
EXTRA_DIST += tests/bench/db/run

# A VFS to be preloaded into the server: see tests/db/fault.py.
check_DATA = tests/db/fault-vfs.so
CLEANFILES += tests/db/fault-vfs.so
tests/db/fault-vfs.so: tests/db/fault-vfs.c
	@$(MKDIR_P) tests/db
	$(AM_V_CC)$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Wno-unused-parameter \
	    -shared -fPIC $(SQLITE_CFLAGS) -o $@ $< $(SQLITE_LIBS) -pthread

# "make fuzz": the fuzzers, by clang.
FUZZ_CFLAGS = -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined
CLEANFILES += tests/fuzz/db-fuzz
tests/fuzz/db-fuzz: tests/fuzz/db-fuzz.c $(mgmt_db_libsluicedb_a_SOURCES) \
		$(LIBOPENVSWITCH_DB)
	@$(MKDIR_P) tests/fuzz
	$(AM_V_CC)$(FUZZ_CC) $(FUZZ_CFLAGS) $(AM_CPPFLAGS) \
	    $(LIBEVENT_CFLAGS) $(JANSSON_CFLAGS) $(SQLITE_CFLAGS) \
	    $(OPENSSL_CFLAGS) -o $@ $(filter %.c,$^) \
	    $(filter-out mgmt/db/libsluicedb.a,$(SLUICE_DB_LDADD)) -pthread
.PHONY: fuzz
fuzz: tests/fuzz/db-fuzz

# The database server: see mgmt/db/main.c.
sbin_PROGRAMS += mgmt/db/sluice-db
noinst_LIBRARIES += mgmt/db/libsluicedb.a

# jansson and libopenvswitch both define json_object() and a few more: the
# server links a copy of libopenvswitch in which those have other names.
LIBOPENVSWITCH_DB = mgmt/db/libopenvswitch-db.a
$(LIBOPENVSWITCH_DB): $(OVS_STAMP)
	$(AM_V_GEN)$(MKDIR_P) mgmt/db && for s in array equal integer object \
	    real string; do echo "json_$$s ovs_json_$$s"; done >$@.syms && \
	objcopy --redefine-syms=$@.syms $(LIBOPENVSWITCH) $@.tmp && mv $@.tmp $@
CLEANFILES += $(LIBOPENVSWITCH_DB) $(LIBOPENVSWITCH_DB).syms

mgmt_db_libsluicedb_a_SOURCES = \
	mgmt/db/atom.c \
	mgmt/db/condition.c \
	mgmt/db/config.c \
	mgmt/db/control.c \
	mgmt/db/convert.c \
	mgmt/db/convert.h \
	mgmt/db/data.h \
	mgmt/db/database.c \
	mgmt/db/database.h \
	mgmt/db/datum.c \
	mgmt/db/datum-build.c \
	mgmt/db/datum-compare.c \
	mgmt/db/datum-json.c \
	mgmt/db/datum-private.h \
	mgmt/db/datum-set.c \
	mgmt/db/error.c \
	mgmt/db/execute.c \
	mgmt/db/execute.h \
	mgmt/db/feed.c \
	mgmt/db/feed.h \
	mgmt/db/history.c \
	mgmt/db/history.h \
	mgmt/db/import.c \
	mgmt/db/import.h \
	mgmt/db/index.c \
	mgmt/db/json.c \
	mgmt/db/json.h \
	mgmt/db/json-pool.c \
	mgmt/db/json-read.c \
	mgmt/db/lock.c \
	mgmt/db/log-db.c \
	mgmt/db/log-file.c \
	mgmt/db/log-file.h \
	mgmt/db/log-text.c \
	mgmt/db/lookup.c \
	mgmt/db/lookup.h \
	mgmt/db/method.c \
	mgmt/db/monitor.c \
	mgmt/db/monitor.h \
	mgmt/db/mutation.c \
	mgmt/db/query.c \
	mgmt/db/rbac.c \
	mgmt/db/reference.c \
	mgmt/db/remote.c \
	mgmt/db/remote-config.c \
	mgmt/db/row.c \
	mgmt/db/schema.c \
	mgmt/db/schema.h \
	mgmt/db/server.c \
	mgmt/db/server.h \
	mgmt/db/server-db.c \
	mgmt/db/session.c \
	mgmt/db/session.h \
	mgmt/db/sql.c \
	mgmt/db/sql.h \
	mgmt/db/sql-load.c \
	mgmt/db/store.c \
	mgmt/db/store.h \
	mgmt/db/store-file.c \
	mgmt/db/tls.c \
	mgmt/db/transaction.c \
	mgmt/db/trigger.c \
	mgmt/db/type.c \
	mgmt/db/writer.c \
	mgmt/db/writer.h
mgmt_db_libsluicedb_a_CFLAGS = $(AM_CFLAGS) $(LIBEVENT_CFLAGS) \
	$(JANSSON_CFLAGS) $(SQLITE_CFLAGS) $(OPENSSL_CFLAGS)

mgmt_db_sluice_db_SOURCES = \
	mgmt/db/daemon-main.c \
	mgmt/db/main.c \
	mgmt/db/main.h \
	mgmt/db/tool.c \
	mgmt/db/tool.h \
	mgmt/db/tool-describe.c \
	mgmt/db/tool-history.c
mgmt_db_sluice_db_CFLAGS = $(mgmt_db_libsluicedb_a_CFLAGS) \
	-DSLUICE_PKGDATADIR='"$(pkgdatadir)"'
SLUICE_DB_LDADD = mgmt/db/libsluicedb.a \
	$(LIBOPENVSWITCH_DB) \
	$(OVS_BUILDDIR)/lib/.libs/libopenvswitchavx512.a $(LIBOPENVSWITCH_DB) \
	$(OVS_DEPS_LIBS) -latomic -lm -lrt \
	$(LIBEVENT_LIBS) $(JANSSON_LIBS) $(SQLITE_LIBS) $(OPENSSL_LIBS)
mgmt_db_sluice_db_LDADD = $(SLUICE_DB_LDADD)
mgmt_db_sluice_db_DEPENDENCIES = mgmt/db/libsluicedb.a $(LIBOPENVSWITCH_DB)

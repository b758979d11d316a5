# The database server: see mgmt/db/main.c.
sbin_PROGRAMS += mgmt/db/sluice-db
mgmt_db_sluice_db_SOURCES = \
	mgmt/db/log-file.c \
	mgmt/db/log-file.h \
	mgmt/db/log-replay.c \
	mgmt/db/log-text.c \
	mgmt/db/main.c
mgmt_db_sluice_db_CFLAGS = $(AM_CFLAGS) $(LIBEVENT_CFLAGS) $(JANSSON_CFLAGS) \
	$(SQLITE_CFLAGS) $(OPENSSL_CFLAGS)
mgmt_db_sluice_db_LDADD = $(OVS_LDADD) $(LIBEVENT_LIBS) $(JANSSON_LIBS) \
	$(SQLITE_LIBS) $(OPENSSL_LIBS)

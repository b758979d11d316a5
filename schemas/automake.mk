# The Open_vSwitch schema, and the C bindings that the daemon and the command
# line get from it.  The bindings replace libopenvswitch's own vswitch-idl.o,
# which was made from an older schema: same names, a superset of the columns.
dist_pkgdata_DATA += schemas/vswitch.ovsschema
EXTRA_DIST += schemas/vswitch-idl.ann

noinst_LIBRARIES += schemas/libvswitch-idl.a
nodist_schemas_libvswitch_idl_a_SOURCES = \
	schemas/vswitch-idl.c schemas/vswitch-idl.h
# Generated code: its warnings are the generator's.
schemas_libvswitch_idl_a_CFLAGS = $(AM_CFLAGS) -w

BUILT_SOURCES += schemas/vswitch-idl.h
CLEANFILES += schemas/vswitch-idl.c schemas/vswitch-idl.h \
	schemas/vswitch-idl.ovsidl

schemas/vswitch-idl.ovsidl: schemas/vswitch.ovsschema schemas/vswitch-idl.ann $(OVS_STAMP)
	@$(MKDIR_P) schemas
	$(AM_V_GEN)$(OVSDB_IDLC) annotate $(srcdir)/schemas/vswitch.ovsschema \
	    $(srcdir)/schemas/vswitch-idl.ann > $@.tmp && mv $@.tmp $@
schemas/vswitch-idl.c: schemas/vswitch-idl.ovsidl
	$(AM_V_GEN)$(OVSDB_IDLC) c-idl-source $< > $@.tmp && mv $@.tmp $@
schemas/vswitch-idl.h: schemas/vswitch-idl.ovsidl
	$(AM_V_GEN)$(OVSDB_IDLC) c-idl-header $< > $@.tmp && mv $@.tmp $@

# Which keys of maps configure the switch, as sluice.conf.db(5) says.
noinst_LIBRARIES += schemas/libknown-keys.a
schemas_libknown_keys_a_SOURCES = schemas/known-keys.c schemas/known-keys.h
nodist_schemas_libknown_keys_a_SOURCES = schemas/known-keys.inc
BUILT_SOURCES += schemas/known-keys.inc
CLEANFILES += schemas/known-keys.inc
schemas/known-keys.inc: man/make-conf-db schemas/vswitch.ovsschema \
		schemas/sluice.conf.db.txt
	@$(MKDIR_P) schemas
	$(AM_V_GEN)$(srcdir)/man/make-conf-db --keys \
	    $(srcdir)/schemas/vswitch.ovsschema \
	    $(srcdir)/schemas/sluice.conf.db.txt > $@.tmp && mv $@.tmp $@

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

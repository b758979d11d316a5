# Manual pages.
dist_man_MANS += man/sluice-ctl.8 man/sluice-db.8 man/sluice-vswitchd.8
nodist_man_MANS += man/sluice.conf.db.5
CLEANFILES += man/sluice.conf.db.5
EXTRA_DIST += man/make-conf-db schemas/sluice.conf.db.txt
man/sluice.conf.db.5: man/make-conf-db schemas/vswitch.ovsschema \
		schemas/sluice.conf.db.txt
	@$(MKDIR_P) man
	$(AM_V_GEN)$(srcdir)/man/make-conf-db $(srcdir)/schemas/vswitch.ovsschema \
	    $(srcdir)/schemas/sluice.conf.db.txt > $@.tmp && mv $@.tmp $@

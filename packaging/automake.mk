# What is installed beside programs and manual pages: systemd units, and the
# names under which Open vSwitch's tools and scripts look for our programs.
UNITS = packaging/sluice-db.service packaging/sluice-vswitchd.service
systemdsystemunitdir = @systemdsystemunitdir@
systemdsystemunit_DATA = $(UNITS)
EXTRA_DIST += $(UNITS:.service=.service.in)
CLEANFILES += $(UNITS)
$(UNITS): %.service: %.service.in Makefile
	@$(MKDIR_P) packaging
	$(AM_V_GEN)sed -e 's|@bindir[@]|$(bindir)|' -e 's|@sbindir[@]|$(sbindir)|' \
	    -e 's|@pkgdatadir[@]|$(pkgdatadir)|' < $< > $@

# Not in the PATH: a host may have Open vSwitch, too.  A program decides by the
# name that it is called by.
compatdir = $(pkglibexecdir)/compat
COMPAT_LINKS = ovs-vsctl:$(bindir)/sluice-ctl \
	ovsdb-server:$(sbindir)/sluice-db \
	ovsdb-tool:$(sbindir)/sluice-db \
	ovs-vswitchd:$(sbindir)/sluice-vswitchd
install-exec-hook:
	$(MKDIR_P) $(DESTDIR)$(compatdir)
	for link in $(COMPAT_LINKS); do \
	    ln -sfn "$${link#*:}" "$(DESTDIR)$(compatdir)/$${link%%:*}" || exit; \
	done
uninstall-hook:
	for link in $(COMPAT_LINKS); do \
	    rm -f "$(DESTDIR)$(compatdir)/$${link%%:*}"; \
	done

# The same in the build tree, for the tests.
compat/stamp: Makefile
	@$(MKDIR_P) compat tests/ctl-bin
	@ln -sfn ../mgmt/ctl/sluice-ctl compat/ovs-vsctl
	@ln -sfn ../mgmt/db/sluice-db compat/ovsdb-server
	@ln -sfn ../mgmt/db/sluice-db compat/ovsdb-tool
	@ln -sfn ../vswitchd/sluice-vswitchd compat/ovs-vswitchd
	@ln -sfn ../../compat/ovs-vsctl tests/ctl-bin/ovs-vsctl
	@touch $@
all-local: compat/stamp
clean-local::
	rm -rf compat tests/ctl-bin

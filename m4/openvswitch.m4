# SLUICE_CHECK_OPENVSWITCH
# ------------------------
# Finds Open vSwitch's sources (--with-openvswitch=TARBALL|DIR) and sets:
#   OVS_TARBALL   the tarball to unpack, or empty
#   OVS_SRCDIR    its source tree   (inside the build tree for a tarball)
#   OVS_BUILDDIR  its build tree    (OVS_SRCDIR itself if DIR is built already)
# The Makefile builds the libraries there, once, outside our sources.
AC_DEFUN([SLUICE_CHECK_OPENVSWITCH], [
  AC_ARG_WITH([openvswitch],
    [AS_HELP_STRING([--with-openvswitch=TARBALL|DIR],
      [Open vSwitch 3.1 sources: a tarball, a source directory, or a
       directory in which libopenvswitch is already built
       @<:@/usr/src/openvswitch/openvswitch.tar.gz, from Debian's
       openvswitch-source@:>@])],
    [], [with_openvswitch=/usr/src/openvswitch/openvswitch.tar.gz])
  AC_MSG_CHECKING([for Open vSwitch's sources])
  OVS_TARBALL=
  OVS_SRCDIR="`pwd`/openvswitch"
  OVS_BUILDDIR="`pwd`/openvswitch"
  if test -f "$with_openvswitch"; then
    OVS_TARBALL=$with_openvswitch
  elif test -f "$with_openvswitch/lib/.libs/libopenvswitch.a" \
       && test -f "$with_openvswitch/ofproto/.libs/libofproto.a"; then
    OVS_SRCDIR=$with_openvswitch
    OVS_BUILDDIR=$with_openvswitch
  elif test -f "$with_openvswitch/lib/dpif-provider.h"; then
    OVS_SRCDIR=$with_openvswitch
  else
    AC_MSG_RESULT([no])
    AC_MSG_ERROR([$with_openvswitch is neither a tarball nor a source tree of
Open vSwitch: install Debian's openvswitch-source, or name one with
--with-openvswitch=TARBALL|DIR])
  fi
  AC_MSG_RESULT([$with_openvswitch])
  AC_SUBST([OVS_TARBALL])
  AC_SUBST([OVS_SRCDIR])
  AC_SUBST([OVS_BUILDDIR])
])

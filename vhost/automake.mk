# The vhost-user service, a library inside the tree: see vhost/vhost.h.
noinst_LIBRARIES += vhost/libvhost.a
vhost_libvhost_a_SOURCES = \
	vhost/cycles.c \
	vhost/cycles.h \
	vhost/halt-poll.c \
	vhost/hot-set.c \
	vhost/packet.c \
	vhost/pool-private.h \
	vhost/pool.c \
	vhost/quiesce.c \
	vhost/vhost.h
vhost_libvhost_a_CFLAGS = $(AM_CFLAGS) $(LIBEVENT_CFLAGS)
VHOST_LDADD = vhost/libvhost.a $(LIBEVENT_LIBS)

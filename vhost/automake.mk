# The vhost-user service, a library inside the tree: see vhost/vhost.h.
noinst_LIBRARIES += vhost/libvhost.a
# What each packet goes through.  Built for newer processors (x86-64-v2, -v3) it
# takes the same 50 cycles per 64-byte packet, for -v4 (AVX-512) 3 less: not
# worth variants.  Nor is -O3, here or in datapath/.
VHOST_RINGS = \
	vhost/chain.c \
	vhost/chain.h \
	vhost/receive.c \
	vhost/ring.h \
	vhost/ring-packed.c \
	vhost/ring-split.c \
	vhost/transmit.c
vhost_libvhost_a_SOURCES = $(VHOST_RINGS) \
	vhost/config-space.c \
	vhost/connection.c \
	vhost/cycles.c \
	vhost/cycles.h \
	vhost/device.c \
	vhost/device.h \
	vhost/dirty-log.c \
	vhost/halt-poll.c \
	vhost/hot-set.c \
	vhost/inflight.c \
	vhost/iotlb.c \
	vhost/iotlb.h \
	vhost/mapping.c \
	vhost/memory.c \
	vhost/memory.h \
	vhost/event.c \
	vhost/notify.c \
	vhost/overflow.c \
	vhost/packet.c \
	vhost/pool-private.h \
	vhost/pool.c \
	vhost/protocol.c \
	vhost/queue.c \
	vhost/quiesce.c \
	vhost/ring-state.c \
	vhost/ring-state.h \
	vhost/service.c \
	vhost/sigbus.c \
	vhost/socket.c \
	vhost/steering.c \
	vhost/vhost.h \
	vhost/watch.c \
	vhost/wire.h
vhost_libvhost_a_CFLAGS = $(AM_CFLAGS) $(LIBEVENT_CFLAGS)
VHOST_LDADD = vhost/libvhost.a $(LIBEVENT_LIBS)

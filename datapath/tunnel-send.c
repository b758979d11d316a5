/* Sending into tunnels: see tunnel-send.h.
 *
 * A packet's outer headers are the kernel's work: we hand it the tunnel header
 * and the packet as a datagram, and what the flow says of source address, TTL,
 * type of service and mark as ancillary data.  "Don't fragment" and "no
 * checksum" are properties of a socket, so there is a socket for each
 * combination, and for UDP several, because the outer source port is what
 * spreads flows over paths and receive queues.  All tunnel ports share them.
 * They receive nothing.
 *
 * Segmentation requests end here, since nothing in the outer packet could
 * carry them.  The segments, of equal size but for the last, go back to back
 * into one buffer, a *train*, which the kernel takes as one datagram and cuts
 * as late as it can (UDP_SEGMENT).  It does so only with checksums, so that
 * segments have them even in a tunnel without: every receiver has to take those
 * (RFC 7348 section 4.1), and a stream is five times as fast.  GRE goes segment
 * by segment, in one system call. */
#include <config.h>
#include "datapath/tunnel-send.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/kernel-io.h"
#include "datapath/private.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(tunnel_send);

/* In <linux/udp.h> and <linux/in6.h>. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_NO_CHECK6_TX
#define UDP_NO_CHECK6_TX 101
#endif

#define SOCKET_BUFFER (4 * 1024 * 1024)

/* --- Sockets --------------------------------------------------------------- */

/* Outer source ports. */
#define N_SOURCE_PORTS 8

/* A kind of sockets. */
struct socket_kind {
    bool udp;                   /* Else GRE. */
    bool ipv6;
    bool dont_fragment;
    bool csum;
};

/* Descriptors plus one, 0 where there is none yet. */
static atomic_int sockets[2][2][2][2][N_SOURCE_PORTS];
static struct ovs_mutex sockets_mutex = OVS_MUTEX_INITIALIZER;

static int
set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) ? errno : 0;
}

static int
set_dont_fragment(int fd, const struct socket_kind *kind)
{
    bool df = kind->dont_fragment;

    if (!kind->ipv6) {
        return set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER,
                          df ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT);
    }
    int error = set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
                           df ? IPV6_PMTUDISC_DO : IPV6_PMTUDISC_DONT);
    return error ? error : set_option(fd, IPPROTO_IPV6, IPV6_DONTFRAG, df);
}

static int
set_checksum(int fd, const struct socket_kind *kind)
{
    return !kind->udp || kind->csum ? 0
           : kind->ipv6 ? set_option(fd, IPPROTO_UDP, UDP_NO_CHECK6_TX, 1)
           : set_option(fd, SOL_SOCKET, SO_NO_CHECK, 1);
}

/* Makes 'fd' receive nothing. */
static int
set_deaf(int fd)
{
    struct sock_filter refuse = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = { 1, &refuse };

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
                      sizeof program) ? errno : 0;
}

/* Returns a descriptor or a negative errno value. */
static int
open_socket(const struct socket_kind *kind)
{
    int error;
    int fd = socket(kind->ipv6 ? AF_INET6 : AF_INET,
                    (kind->udp ? SOCK_DGRAM : SOCK_RAW)
                    | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    kind->udp ? IPPROTO_UDP : IPPROTO_GRE);
    if (fd < 0) {
        return -errno;
    }
    if ((error = set_deaf(fd))
        || (error = set_dont_fragment(fd, kind))
        || (error = set_checksum(fd, kind))
        || (error = set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE,
                               SOCKET_BUFFER))) {
        close(fd);
        return -error;
    }
    return fd;
}

/* The socket of 'kind' for a flow with 'hash', or a negative errno value. */
static int
get_socket(const struct socket_kind *kind, uint32_t hash)
{
    atomic_int *slot = &sockets[kind->udp][kind->ipv6][kind->dont_fragment]
                               [kind->csum]
                               [kind->udp ? hash % N_SOURCE_PORTS : 0];
    int fd = atomic_load_explicit(slot, memory_order_relaxed) - 1;

    if (fd < 0) {
        ovs_mutex_lock(&sockets_mutex);
        fd = atomic_load_explicit(slot, memory_order_relaxed) - 1;
        if (fd < 0) {
            fd = open_socket(kind);
            if (fd >= 0) {
                atomic_store_explicit(slot, fd + 1, memory_order_relaxed);
            }
        }
        ovs_mutex_unlock(&sockets_mutex);
    }
    return fd;
}

/* --- Trains ---------------------------------------------------------------- */

#define TRAIN_PACKETS 64        /* Older kernels' UDP_MAX_SEGMENTS. */
#define TRAIN_BYTES 65000       /* Within one IP packet of either version. */

struct train {
    struct port *port;
    const struct tunnel_format *format;
    atomic_uint32_t *seq;
    struct dp_thread *thread;

    /* Of all its packets. */
    const struct tunnel_request *request;
    uint32_t hash;

    unsigned int n;
    uint32_t lens[TRAIN_PACKETS];
    size_t len;                 /* Bytes in 'data'. */
    uint8_t data[TRAIN_BYTES + TUNNEL_HEADER_MAX];
};

/* Ancillary data. */
struct control {
    size_t len;
    union {
        struct cmsghdr align;
        char buf[256];
    };
};

static void
control_put(struct control *control, int level, int type, const void *data,
            size_t size)
{
    struct cmsghdr *cmsg = (struct cmsghdr *) (control->buf + control->len);

    ovs_assert(control->len + CMSG_SPACE(size) <= sizeof control->buf);
    memset(cmsg, 0, CMSG_SPACE(size));
    cmsg->cmsg_level = level;
    cmsg->cmsg_type = type;
    cmsg->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(cmsg), data, size);
    control->len += CMSG_SPACE(size);
}

static void
control_put_int(struct control *control, int level, int type, int value)
{
    control_put(control, level, type, &value, sizeof value);
}

static void
control_put_ipv4(struct control *control, const struct flow_tnl *key)
{
    control_put_int(control, IPPROTO_IP, IP_TOS, key->ip_tos);
    if (key->ip_ttl) {
        control_put_int(control, IPPROTO_IP, IP_TTL, key->ip_ttl);
    }
    if (key->ip_src) {
        struct in_pktinfo info = { .ipi_spec_dst.s_addr = key->ip_src };

        control_put(control, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    }
}

static void
control_put_ipv6(struct control *control, const struct flow_tnl *key)
{
    control_put_int(control, IPPROTO_IPV6, IPV6_TCLASS, key->ip_tos);
    if (key->ip_ttl) {
        control_put_int(control, IPPROTO_IPV6, IPV6_HOPLIMIT, key->ip_ttl);
    }
    if (ipv6_addr_is_set(&key->ipv6_src)) {
        struct in6_pktinfo info = { .ipi6_addr = key->ipv6_src };

        control_put(control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
}

static socklen_t
get_destination(const struct train *train, struct sockaddr_storage *ss)
{
    const struct flow_tnl *key = train->request->key;
    ovs_be16 port = train->format->udp ? key->tp_dst : 0;

    memset(ss, 0, sizeof *ss);
    if (key->ip_dst) {
        struct sockaddr_in *sin = (struct sockaddr_in *) ss;

        sin->sin_family = AF_INET;
        sin->sin_port = port;
        sin->sin_addr.s_addr = key->ip_dst;
        return sizeof *sin;
    }
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *) ss;

    sin6->sin6_family = AF_INET6;
    sin6->sin6_port = port;
    sin6->sin6_addr = key->ipv6_dst;
    return sizeof *sin6;
}

static void
drop(const struct train *train, int error, unsigned int n)
{
    port_drop(train->port, kernel_drop_reason(error), n, train->thread);
}

/* Sends the packets of 'train', each as a datagram. */
static void
send_each(const struct train *train, const struct socket_kind *kind,
          const struct msghdr *common)
{
    int fd = get_socket(kind, train->hash);
    struct mmsghdr msgs[TRAIN_PACKETS];
    struct iovec iovs[TRAIN_PACKETS];
    size_t ofs = 0;

    if (fd < 0) {
        static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);

        VLOG_WARN_RL(&rl, "cannot open a socket for tunnels: %s",
                     ovs_strerror(-fd));
        drop(train, -fd, train->n);
        return;
    }
    memset(msgs, 0, train->n * sizeof *msgs);
    for (unsigned int i = 0; i < train->n; i++) {
        iovs[i].iov_base = CONST_CAST(uint8_t *, train->data) + ofs;
        iovs[i].iov_len = train->lens[i];
        msgs[i].msg_hdr = *common;
        msgs[i].msg_hdr.msg_iov = &iovs[i];
        ofs += train->lens[i];
    }
    for (unsigned int done = 0; done < train->n; ) {
        int n = sendmmsg(fd, msgs + done, train->n - done, MSG_DONTWAIT);

        if (n < 0) {
            drop(train, errno, 1);
            n = 1;
        }
        done += n;
    }
}

/* Sends 'train' as one datagram that the kernel cuts.  Returns false if that
 * has to be done here. */
static bool
send_whole(const struct train *train, const struct socket_kind *kind,
           struct msghdr *msg, struct control *control)
{
    struct socket_kind with_csum = *kind;
    struct iovec iov = { CONST_CAST(uint8_t *, train->data), train->len };
    struct msghdr whole = *msg;
    size_t control_len = control->len;
    uint16_t size = train->lens[0];

    with_csum.csum = true;
    int fd = get_socket(&with_csum, train->hash);
    if (fd < 0) {
        return false;
    }
    control_put(control, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
    whole.msg_iov = &iov;
    whole.msg_iovlen = 1;
    whole.msg_controllen = control->len;
    control->len = control_len;
    if (sendmsg(fd, &whole, MSG_DONTWAIT) < 0) {
        if (errno != EAGAIN && errno != ENOBUFS) {
            /* The route's device computes no checksums, say. */
            return false;
        }
        drop(train, errno, train->n);
    }
    return true;
}

static void
train_flush(struct train *train)
{
    if (!train->n) {
        return;
    }

    const struct flow_tnl *key = train->request->key;
    const struct socket_kind kind = {
        .udp = train->format->udp,
        .ipv6 = !key->ip_dst,
        .dont_fragment = key->flags & FLOW_TNL_F_DONT_FRAGMENT,
        .csum = key->flags & FLOW_TNL_F_CSUM,
    };
    struct control control = { .len = 0 };
    struct sockaddr_storage ss;
    struct msghdr msg = {
        .msg_name = &ss,
        .msg_namelen = get_destination(train, &ss),
        .msg_control = control.buf,
        .msg_iovlen = 1,
    };

    if (kind.ipv6) {
        control_put_ipv6(&control, key);
    } else {
        control_put_ipv4(&control, key);
    }
    if (train->request->mark) {
        control_put_int(&control, SOL_SOCKET, SO_MARK, train->request->mark);
    }
    msg.msg_controllen = control.len;

    if (train->n == 1 || !kind.udp
        || !send_whole(train, &kind, &msg, &control)) {
        send_each(train, &kind, &msg);
    }
    train->n = 0;
    train->len = 0;
}

static bool
same_request(const struct tunnel_request *a, const struct tunnel_request *b)
{
    return a == b || (a->mark == b->mark
                      && flow_tnl_size(a->key) == flow_tnl_size(b->key)
                      && !memcmp(a->key, b->key, flow_tnl_size(a->key)));
}

/* Returns true if 'packet' can't be the next one of 'train'. */
static bool
train_is_full(const struct train *train, const struct vhost_packet *packet)
{
    return train->n
           && (train->n == TRAIN_PACKETS
               || train->len + TUNNEL_HEADER_MAX + packet->len > TRAIN_BYTES
               || train->lens[train->n - 1] < train->lens[0]
               || train->hash != packet->hash
               || !same_request(train->request, packet->user));
}

/* Appends 'packet', which asks for nothing any more, to the train. */
static void
train_append(struct vhost_packet *packet, void *train_)
{
    struct train *train = train_;
    const struct tunnel_request *request = packet->user;

    if (train_is_full(train, packet)) {
        train_flush(train);
    }

    uint8_t *data = train->data + train->len;
    size_t header_len = 0, len = packet->len;

    if (len <= TRAIN_BYTES) {
        header_len = tunnel_header_write(
            train->format, request->key, request->packet_type, len,
            train->format->udp && !train->format->seq
            ? 0 : atomic_fetch_add(train->seq, 1), data);
    }
    if (!header_len) {
        port_drop_packet(train->port,
                         len > TRAIN_BYTES ? DROP_TOO_LONG : DROP_SEND_ERROR,
                         packet, train->thread);
        return;
    }
    vhost_packet_copy(packet, 0, data + header_len, len);
    len += header_len;
    tunnel_header_finish(train->format, data, len);
    if (train->n && len > train->lens[0]) {
        /* Only the first of a train may be the longest: start another. */
        train_flush(train);
        memmove(train->data, data, len);
    }
    train->request = request;
    train->hash = packet->hash;
    train->lens[train->n++] = len;
    train->len += len;
}

void
tunnel_send(struct port *port, const struct tunnel_format *format,
            atomic_uint32_t *seq, struct vhost_packet *const packets[],
            unsigned int n, struct dp_thread *thread)
{
    struct train *train = xmalloc(sizeof *train);

    train->port = port;
    train->format = format;
    train->seq = seq;
    train->thread = thread;
    train->n = 0;
    train->len = 0;
    for (unsigned int i = 0; i < n; i++) {
        struct vhost_packet *packet = packets[i];
        const struct tunnel_request *request = packet->user;

        if (!request || !request->key) {
            port_drop_packet(port, DROP_SEND_ERROR, packet, thread);
        } else if (packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
            offload_finish(packet, train_append, train);
        } else {
            train_append(packet, train);
        }
    }
    train_flush(train);
    free(train);
}

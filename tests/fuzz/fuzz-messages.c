/* Fuzzes the control protocol: a front-end says what the fuzzer wants, over a
 * real connection, and passes file descriptors of all kinds.
 *
 * The input is a sequence of {request, flags, size, file descriptors,
 * payload}; what makes sense of it are vhost/'s own threads. */
#include <config.h>
#include "vhost/vhost.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "tests/vhost/front-end.h"
#include "util.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *path;

static unsigned int
receive(struct vhost_queue *queue, struct vhost_thread *thread OVS_UNUSED,
        unsigned int budget OVS_UNUSED, void *aux OVS_UNUSED)
{
    static __thread struct vhost_packet packets[VHOST_BATCH];
    struct vhost_notifier notifier = { .n = 0 };
    unsigned int n = vhost_receive(queue, packets, VHOST_BATCH);

    vhost_receive_done(queue, &notifier);
    vhost_notify(&notifier);
    return n;
}

static void
clean_up(void)
{
    char *slash = strrchr(path, '/');

    unlink(path);
    *slash = '\0';
    rmdir(path);
}

int
LLVMFuzzerInitialize(int *argc OVS_UNUSED, char ***argv OVS_UNUSED)
{
    static const struct vhost_device_ops ops = { .receive = receive };
    static char template[] = "/tmp/fuzz-messages.XXXXXX";
    struct vhost_pool_config pool_config = { .n_threads = 1, .name = "fuzz" };
    struct vhost_device_config config = {
        .name = "fuzz", .uid = -1, .gid = -1, .mode = -1,
        .max_queue_pairs = 2, .ops = &ops,
    };
    struct vhost_device *device;
    char *error;

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    config.path = path = xasprintf("%s/socket", mkdtemp(template));
    config.state_dir = template;
    vhost_init();
    if (vhost_pool_create(&pool_config, &config.pool, &error)
        || vhost_device_create(&config, &device, &error)) {
        ovs_fatal(0, "%s", error);
    }
    atexit(clean_up);
    return 0;
}

/* The header of each message in the input. */
struct input {
    uint8_t request, flags;
    uint16_t size;
    uint8_t n_fds, fd_kinds;    /* Two bits each. */
};

static void
send_message(struct front_end *fe, const struct input *in,
             const uint8_t *payload, size_t size, int event_fd)
{
    int kinds[4] = { fe->memfd, event_fd, fe->sock, STDERR_FILENO };
    int fds[10];

    for (int i = 0; i < in->n_fds % 10; i++) {
        fds[i] = kinds[in->fd_kinds >> (i % 4 * 2) & 3];
    }
    fe_send_fds(fe, in->request, in->flags, payload, size, fds,
                in->n_fds % 10);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct front_end fe;
    struct input in;
    uint8_t bytes[4096];

    fe_connect(&fe, path);
    while (size >= sizeof in) {
        memcpy(&in, data, sizeof in);
        data += sizeof in;
        size -= sizeof in;
        size_t n = MIN(size, in.size % 400);
        send_message(&fe, &in, data, n, event_fd);
        data += n;
        size -= n;
        while (recv(fe.sock, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
            continue;
        }
    }
    shutdown(fe.sock, SHUT_WR);
    fe_hung_up(&fe);
    fe_close(&fe);
    close(event_fd);
    return 0;
}

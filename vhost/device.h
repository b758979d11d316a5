/* A device and the thread that controls all of them.  Private to vhost/. */
#ifndef VHOST_DEVICE_H
#define VHOST_DEVICE_H 1

#include "openvswitch/thread.h"
#include "vhost/memory.h"
#include "vhost/vhost.h"
#include "vhost/wire.h"

struct event;
struct event_base;
struct vhost_connection;
struct vhost_dirty_log;
struct vhost_iotlb;
struct vhost_steering;
struct vhost_watch;

/* Members belong to the control thread, if nothing else is said. */
struct vhost_device {
    /* Configuration: never changes. */
    char *name;
    char *path;
    bool connect;
    int uid, gid, mode;
    unsigned int max_queues;    /* Virtqueues: 2 per pair. */
    unsigned int mtu;
    uint64_t offered;           /* Virtio features. */
    uint64_t offered_protocol;
    char *state_dir;
    struct vhost_pool *pool;
    const struct vhost_device_ops *ops;
    void *aux;

    /* The socket (socket.c). */
    int listen_fd;              /* -1 in connect mode. */
    dev_t socket_dev;           /* The file that we made, so that we */
    ino_t socket_ino;           /* remove no other. */
    struct event *listener;     /* Someone connects... */
    struct event *retry;        /* ...or it's time to try it ourselves... */
    struct vhost_watch *watch;  /* ...or there is a socket now.  NULL if we
                                 * won't be told. */
    unsigned int backoff_ms;
    bool refusal_logged;        /* The present reason for not connecting. */

    /* The front-end. */
    struct vhost_connection *connection;
    int backend_fd;             /* SET_BACKEND_REQ_FD, -1: none. */
    uint64_t features;          /* Acknowledged.  Read by other threads
                                 * without a lock. */
    bool features_set;
    uint64_t protocol_features;
    uint8_t virtio_status;      /* SET_STATUS. */
    bool inband;                /* In-band notifications. */
    struct vhost_memory *memory;        /* NULL before SET_MEM_TABLE. */
    const struct vhost_map *map;        /* What the queues translate by. */
    struct vhost_iotlb *iotlb;  /* NULL without ACCESS_PLATFORM. */
    struct vhost_dirty_log *log;        /* NULL without one. */

    struct vhost_queue **queues;        /* 'max_queues' pointers, set once,
                                         * from any thread by acquire. */
    struct vhost_steering *steering;    /* Receive queues; RCU by
                                         * vhost_synchronize(). */

    uint8_t *ring_states;       /* The file of ring-state.c, NULL if none. */
    struct vhost_mapping inflight;      /* In which the first... */
    unsigned int n_inflight;    /* ...so many queues have it instead. */

    bool broken;                /* Set by any thread, also in a signal
                                 * handler: guest memory has gone. */
    struct ovs_mutex mutex;     /* Protects 'status'. */
    struct vhost_device_status status;
    struct vhost_device *next;  /* In service.c's list. */
};

/* --- service.c: the control thread --- */

struct event_base *vhost_event_base(void);
/* Runs 'cb' in the control thread and waits until it has returned.  From any
 * other thread. */
void vhost_control_run(void (*cb)(void *aux), void *aux);
/* Runs 'cb' in the control thread, some time soon. */
void vhost_control_post(void (*cb)(void *aux), void *aux);
/* Has the control thread look for devices and queues that other threads have
 * found broken.  From any thread, and from signal handlers. */
void vhost_control_wake(void);
void vhost_service_add(struct vhost_device *);
void vhost_service_remove(struct vhost_device *);

/* --- device.c --- */

/* A front-end has connected by 'fd', which becomes the device's. */
void vhost_device_connected(struct vhost_device *, int fd);
/* Lets go of the front-end and of all that it gave us. */
void vhost_device_disconnect(struct vhost_device *);
/* Brings status, steering and the owner's knowledge up to date with queues. */
void vhost_device_update(struct vhost_device *);
void vhost_device_reset(struct vhost_device *);
/* Takes care of what other threads found broken. */
void vhost_device_check(struct vhost_device *);
void vhost_device_set_memory(struct vhost_device *, struct vhost_memory *);
bool vhost_device_remap(struct vhost_device *);
void vhost_device_answered(struct vhost_device *, uint64_t first,
                           uint64_t last);
struct vhost_queue *vhost_device_queue(struct vhost_device *,
                                       unsigned int index);
/* Sends 'request', VHOST_USER_BACKEND_VRING_*, about virtqueue 'index' over the
 * back-end channel.  Returns 0 or a positive errno value.  Any thread. */
int vhost_device_tell(struct vhost_device *, uint32_t request,
                      unsigned int index);

/* --- socket.c --- */

int vhost_socket_open(struct vhost_device *, char **errp);
void vhost_socket_start(struct vhost_device *);
void vhost_socket_close(struct vhost_device *);
/* The front-end has gone: wait for, or go to, the next. */
void vhost_socket_resume(struct vhost_device *);

/* A file of the socket's name has come, or may have: see watch.c. */
void vhost_socket_appeared(struct vhost_device *);

/* --- watch.c --- */

void vhost_watch_init(void);
void vhost_watch_exit(void);
struct vhost_watch *vhost_watch_create(struct vhost_device *);
void vhost_watch_destroy(struct vhost_watch *);

/* --- connection.c --- */

struct vhost_connection *vhost_connection_create(struct vhost_device *,
                                                 int fd);
void vhost_connection_destroy(struct vhost_connection *);
/* True if the front-end has closed its end. */
bool vhost_connection_is_dead(const struct vhost_connection *);
/* The process at the other end. */
pid_t vhost_connection_peer(const struct vhost_connection *);
/* Takes fd number 'i' out of 'msg': it's the caller's now. */
int vhost_message_take_fd(struct vhost_message *, unsigned int i);
/* Sends 'size' bytes of 'msg->payload' as the reply to it. */
int vhost_connection_reply(struct vhost_connection *, struct vhost_message *,
                           size_t size, int fd);
/* Sends a message and perhaps a file descriptor over 'sock' without blocking.
 * Returns 0 or a positive errno value. */
int vhost_message_send(int sock, const struct vhost_message *, int fd);

/* --- protocol.c --- */

uint64_t vhost_protocol_virtio_features(const struct vhost_device_config *);
uint64_t vhost_protocol_features(void);
/* Does what 'msg' asks for.  Returns NULL, or a message, which the caller must
 * free, that says what is wrong with it: the connection is to be dropped. */
char *vhost_protocol_handle(struct vhost_device *, struct vhost_message *);
const char *vhost_request_name(uint32_t request);

/* --- config-space.c --- */

char *vhost_config_space_get(const struct vhost_device *,
                             struct vhost_message *);
char *vhost_config_space_set(const struct vhost_message *);

/* --- steering.c --- */

void vhost_steering_update(struct vhost_device *);

/* --- dirty-log.c --- */

char *vhost_dirty_log_set(struct vhost_device *, const struct vhost_user_log *,
                          int fd);
void vhost_dirty_log_clear(struct vhost_device *);

/* --- inflight.c --- */

char *vhost_inflight_make(const struct vhost_device *,
                          struct vhost_user_inflight *, int *fdp);
char *vhost_inflight_set(struct vhost_device *,
                         const struct vhost_user_inflight *, int fd);

#endif /* device.h */

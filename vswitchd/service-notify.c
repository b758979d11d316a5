/* What systemd wants to hear from a service: that it is ready, that it stops,
 * and, if WatchdogSec= is set, again and again that it is alive.
 *
 * The protocol is datagrams to the socket in $NOTIFY_SOCKET, see sd_notify(3):
 * not worth a library.  Without that variable nothing happens. */
#include <config.h>
#include "vswitchd/service-notify.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

static struct sockaddr_un address;
static socklen_t address_len;   /* 0: nobody wants to hear anything. */
static long long int interval;  /* Of the watchdog, in ms; 0: none. */
static long long int next_sign = LLONG_MAX;

/* Reads what systemd wants from the environment.  Call before this process
 * becomes another one by going to the background. */
void
service_notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    const char *usec = getenv("WATCHDOG_USEC");
    size_t len = path ? strlen(path) : 0;

    if (!len || len >= sizeof address.sun_path
        || (path[0] != '/' && path[0] != '@')) {
        return;
    }
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') {       /* The abstract namespace. */
        address.sun_path[0] = '\0';
    }
    address_len = offsetof(struct sockaddr_un, sun_path) + len;

    /* A sign of life twice per interval, as sd_watchdog_enabled(3) advises. */
    interval = usec ? strtoll(usec, NULL, 10) / 2000 : 0;
}

static void
notify(const char *state)
{
    int fd;

    if (!address_len) {
        return;
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        ignore(sendto(fd, state, strlen(state), MSG_NOSIGNAL,
                      (struct sockaddr *) &address, address_len));
        close(fd);
    }
}

/* The service is ready for its clients. */
void
service_notify_ready(void)
{
    char *state = xasprintf("READY=1\nMAINPID=%ld", (long int) getpid());

    notify(state);
    free(state);
    if (address_len && interval > 0) {
        next_sign = time_msec() + interval;
    }
}

/* The service is about to end. */
void
service_notify_stopping(void)
{
    notify("STOPPING=1");
}

/* Gives a sign of life if it is time. */
void
service_notify_run(void)
{
    if (time_msec() >= next_sign) {
        notify("WATCHDOG=1");
        next_sign = time_msec() + interval;
    }
}

/* Wakes poll_block() up for service_notify_run(). */
void
service_notify_wait(void)
{
    poll_timer_wait_until(next_sign);
}

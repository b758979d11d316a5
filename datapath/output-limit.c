/* How many ports a flow may send to.
 *
 * libofproto has no flow in the datapath that sends to more ports than
 * net.core.netdev_max_backlog says (1000 by default): it takes each of its
 * packets through the slow path instead.  The reason is that the kernel's
 * datapath queues the copies of a packet for devices such as veth, and drops
 * those beyond that number.  This datapath doesn't do it at once: each copy is
 * sent by itself, and has been taken out of that queue when the next one is.
 * A bridge with 1000 guests would only lose its speed.
 *
 * libofproto asks the file.  So here the file says that there is no limit; the
 * one that remains, of 8190 outputs, is the length of the actions. */
#include <config.h>

#include <stdio.h>
#include <string.h>

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);

/* Stands in for the C library's fopen() where libofproto calls it. */
FILE *
__wrap_fopen(const char *path, const char *mode)
{
    static char no_limit[] = "2147483647\n";

    return strcmp(path, "/proc/sys/net/core/netdev_max_backlog")
           ? __real_fopen(path, mode)
           : fmemopen(no_limit, sizeof no_limit - 1, "r");
}

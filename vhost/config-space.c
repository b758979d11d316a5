/* The device's configuration space (virtio 1.2 section 5.1.4), for front-ends
 * that ask the back-end for it.
 *
 * We say what we know: how many queue pairs there may be, and the MTU.  The
 * address is the front-end's to choose, and so is the link's state as the
 * guest sees it; we only ever say that it's up. */
#include <config.h>
#include "vhost/device.h"

#include <endian.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "util.h"

static struct virtio_net_config
config_space(const struct vhost_device *dev)
{
    return (struct virtio_net_config) {
        .status = htole16(VIRTIO_NET_S_LINK_UP),
        .max_virtqueue_pairs = htole16(dev->max_queues / 2),
        .mtu = htole16(dev->mtu),
        .speed = htole32(UINT32_MAX),           /* Unknown... */
        .duplex = UINT8_MAX,                    /* ...both. */
    };
}

/* Checks the part of the configuration space that 'config', 'size' bytes of
 * payload, is about.  Returns NULL or what is wrong with it. */
static char *
check(const struct vhost_user_config *config, uint32_t size)
{
    if (size != offsetof(struct vhost_user_config, data) + config->size) {
        return xasprintf("%"PRIu32" bytes of configuration don't fit in the "
                         "message's %"PRIu32, config->size, size);
    }
    if (config->offset > VHOST_USER_MAX_CONFIG
        || config->size > VHOST_USER_MAX_CONFIG - config->offset) {
        return xasprintf("configuration has no %"PRIu32" bytes at %"PRIu32,
                         config->size, config->offset);
    }
    return NULL;
}

/* Fills in what 'msg', a VHOST_USER_GET_CONFIG, asks for.  What is beyond the
 * end of the configuration is zero.  Returns NULL or what is wrong with the
 * message, as an error message that the caller must free. */
char *
vhost_config_space_get(const struct vhost_device *dev,
                       struct vhost_message *msg)
{
    struct vhost_user_config *config = &msg->payload.config;
    struct virtio_net_config space = config_space(dev);
    char *error = check(config, msg->header.size);

    if (!error) {
        memset(config->data, 0, config->size);
        if (config->offset < sizeof space) {
            memcpy(config->data, (uint8_t *) &space + config->offset,
                   MIN(config->size, sizeof space - config->offset));
        }
    }
    return error;
}

/* Likewise for VHOST_USER_SET_CONFIG: nothing of ours can be written, and what
 * a migration brings we know better. */
char *
vhost_config_space_set(const struct vhost_message *msg)
{
    return check(&msg->payload.config, msg->header.size);
}

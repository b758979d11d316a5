/* I/O virtual addresses: see iotlb.c.  Control thread.  Private to vhost/. */
#ifndef VHOST_IOTLB_H
#define VHOST_IOTLB_H 1

#include "vhost/memory.h"

struct vhost_iotlb;

struct vhost_iotlb *vhost_iotlb_create(void);
void vhost_iotlb_destroy(struct vhost_iotlb *);
char *vhost_iotlb_handle(struct vhost_iotlb *,
                         const struct vhost_user_iotlb *);
struct vhost_map *vhost_iotlb_map(const struct vhost_iotlb *,
                                  const struct vhost_memory *);

#endif /* iotlb.h */

/* Work on network devices for those who can't wait.  Private to datapath/. */
#ifndef DEVICE_WORK_H
#define DEVICE_WORK_H 1

/* Has 'cb(aux)' called soon, in another thread, after what was asked for
 * device 'name' before. */
void device_work(const char *name, void (*cb)(void *aux), void *aux);

/* Closes 'fd', which has to do with device 'name', in the same way. */
void device_close(const char *name, int fd);

/* Returns when nothing remains to be done for device 'name', or for any if
 * that is NULL. */
void device_work_wait(const char *name);

#endif /* datapath/device-work.h */

/* Closes file descriptors of network devices for those who can't wait.
 * Private to datapath/. */
#ifndef CLOSER_H
#define CLOSER_H 1

/* Closes 'fd', which has to do with device 'name', soon. */
void closer_close(const char *name, int fd);

/* Returns when nothing that has to do with device 'name', or with any if that
 * is NULL, remains to be closed. */
void closer_wait(const char *name);

#endif /* datapath/closer.h */

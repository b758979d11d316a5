/* What systemd wants to hear from a service (sd_notify(3)). */
#ifndef SERVICE_NOTIFY_H
#define SERVICE_NOTIFY_H 1

void service_notify_init(void);
void service_notify_ready(void);
void service_notify_stopping(void);
void service_notify_run(void);
void service_notify_wait(void);

#endif /* service-notify.h */

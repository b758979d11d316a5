/* What the files of "doctor" share: see doctor.c. */
#ifndef DOCTOR_H
#define DOCTOR_H 1

#include "compiler.h"

struct json;

enum severity { OK, NOTE, WARNING, PROBLEM };

struct examination {
    struct json *findings;      /* Array of objects. */
    enum severity worst;

    /* From the database; NULL if that doesn't answer. */
    struct json *ifaces;        /* Interface rows. */
};

void find(struct examination *, enum severity, const char *check,
          const char *advice, const char *format, ...)
    OVS_PRINTF_FORMAT(5, 6);
char *read_line(const char *format, ...) OVS_PRINTF_FORMAT(1, 2);

/* doctor-settings.c */
void check_settings(struct examination *);

/* doctor-uplinks.c */
void check_uplinks(struct examination *);

#endif /* doctor.h */

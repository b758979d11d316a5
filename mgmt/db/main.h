/* The program's faces: see main.c. */
#ifndef SLUICE_DB_MAIN_H
#define SLUICE_DB_MAIN_H 1

#include <stdbool.h>

int daemon_main(int argc, char *argv[]);
bool tool_is_command(const char *name);
int tool_main(int argc, char *argv[]);

#endif /* mgmt/db/main.h */

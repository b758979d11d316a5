/* Printing that the tools share. */
#ifndef SLUICE_CTL_REPORT_H
#define SLUICE_CTL_REPORT_H 1

#include <stddef.h>

struct json;
struct jsonrpc;

void print_json_line(const struct json *);
struct json *ask_drops(struct jsonrpc *, const char *port, char **errorp);
void print_drops(const struct json *);
size_t json_length(const struct json *);
char *format_rate(double);

#endif /* report.h */

/* The help text. */
#ifndef SLUICE_CTL_USAGE_H
#define SLUICE_CTL_USAGE_H 1

#include <stdbool.h>

#include "compiler.h"

OVS_NO_RETURN void usage(bool compat);

#endif /* usage.h */

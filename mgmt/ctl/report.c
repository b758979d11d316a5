/* Printing that the tools share. */
#include <config.h>
#include "report.h"

#include <stdio.h>
#include <stdlib.h>

#include "openvswitch/json.h"
#include "util.h"

/* Prints 'json' on a line of its own, at once even into a pipe. */
void
print_json_line(const struct json *json)
{
    char *s = json_to_string(json, JSSF_SORT);

    puts(s);
    fflush(stdout);
    free(s);
}

/* Returns the number of elements in 'json', 0 if it isn't an array. */
size_t
json_length(const struct json *json)
{
    return json && json->type == JSON_ARRAY ? json->array.n : 0;
}

/* Returns 'value', e.g. packets per second, in at most 6 characters such as
 * "12.3M".  The caller must free it. */
char *
format_rate(double value)
{
    static const char units[] = " kMGT";
    size_t unit = 0;

    while (value >= 999.5 && unit < sizeof units - 2) {
        value /= 1000;
        unit++;
    }
    return (!unit ? xasprintf("%.0f", value)
            : xasprintf("%.*f%c", value < 99.95, value, units[unit]));
}

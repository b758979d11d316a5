/* The options of interfaces that are the switch's, not their devices': which
 * there are, and what each can be.
 *
 * What an option can't be counts as its default, and Interface.error says so:
 * whoever mistyped it looks there.  Main thread. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "smap.h"
#include "util.h"
#include "vswitchd/vswitchd.h"

/* By enum softmac_option.  The first value is the default; the one that can be
 * any number has none. */
static const struct option {
    const char *key;
    const char *values[3];
} options[] = {
    [OPTION_SOFTMAC] = { "softmac", { "on", "static", "off" } },
    [OPTION_MAX] = { "softmac-max", { NULL } },
    [OPTION_OVERFLOW] = { "softmac-overflow", { "refuse", "promisc" } },
    [OPTION_MULTICAST] = { "softmac-multicast", { "all", "snooped" } },
    [OPTION_RX_FILTER] = { "rx-filter", { "auto", "on", "off" } },
    [OPTION_SPOOFING] = { "mac-spoofing", { "allow", "drop" } },
};

/* Returns true if option 'key' of an interface is for us, not its device. */
bool
is_switch_option(const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (!strcmp(key, options[i].key)) {
            return true;
        }
    }
    return false;
}

/* Stores in '*i' which of its values 'option' has.  Returns false if it is
 * none of them. */
static bool
find_value(const struct option *option, const char *value, unsigned int *i)
{
    for (*i = 0; *i < ARRAY_SIZE(option->values) && option->values[*i];
         ++*i) {
        if (!strcmp(value, option->values[*i])) {
            return true;
        }
    }
    return false;
}

/* Returns which of its values an option of the interface has. */
unsigned int
softmac_option(const struct ovsrec_interface *row, enum softmac_option which)
{
    const char *value = smap_get(&row->options, options[which].key);
    unsigned int i;

    return value && find_value(&options[which], value, &i) ? i : 0;
}

/* Returns options:softmac-max of the interface, or 'def'. */
size_t
softmac_option_max(const struct ovsrec_interface *row, size_t def)
{
    return smap_get_uint(&row->options, options[OPTION_MAX].key, def);
}

/* Adds to 's' what's wrong with 'value' of 'option', if something is. */
static void
check_value(const struct option *option, const char *value, struct ds *s)
{
    unsigned int i;

    if (!option->values[0]) {
        if (!str_to_uint(value, 10, &i)) {
            ds_put_format(s, "options:%s=%s has no effect: it must be a "
                          "number\n", option->key, value);
        }
    } else if (!find_value(option, value, &i)) {
        ds_put_format(s, "options:%s=%s has no effect: it can be ",
                      option->key, value);
        for (i = 0; i < ARRAY_SIZE(option->values) && option->values[i];
             i++) {
            ds_put_format(s, "%s%s", i ? " or " : "", option->values[i]);
        }
        ds_put_char(s, '\n');
    }
}

/* Returns what is wrong with the options of an interface that are the
 * switch's, and with the addresses that its row gives, or NULL.  The caller
 * must free it. */
char *
check_switch_options(const struct ovsrec_interface *row)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        const char *value = smap_get(&row->options, options[i].key);

        if (value) {
            check_value(&options[i], value, &s);
        }
    }
    stated_check(row, &s);
    ds_chomp(&s, '\n');
    return s.length ? ds_steal_cstr(&s) : NULL;
}

/* Which keys of the maps that configure the switch there are.
 *
 * The database takes any key in a map.  So that who mistypes one finds out, the
 * switch says in its log which ones it doesn't know, and `sluice-ctl doctor'
 * does.  What both know is what sluice.conf.db(5) describes: the table is made
 * of the same source. */
#ifndef KNOWN_KEYS_H
#define KNOWN_KEYS_H 1

enum key_effect {
    KEY_WORKS,                  /* It is for the switch or another program. */
    KEY_HAS_NO_EFFECT,          /* It is Open vSwitch's, and not needed here. */
    KEY_UNKNOWN,
};

/* Returns what 'key' of map 'column' in 'table' does.  If that is nothing, sets
 * '*why' to the reason, a sentence. */
enum key_effect known_key_effect(const char *table, const char *column,
                                 const char *key, const char **why);

#endif /* schemas/known-keys.h */

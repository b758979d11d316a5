/* Between OVS's struct flow and the compact flow key. */
#ifndef FLOW_CONVERT_H
#define FLOW_CONVERT_H 1

#include <stdbool.h>

#include "datapath/flow-key.h"

struct flow;
struct flow_wildcards;

/* Fills in 'key' from 'flow'.  Returns the FLOW_KEY_* bits of the blocks that
 * have something in them; all blocks are initialized.  Fields that the compact
 * key has no place for are left out. */
unsigned int flow_key_from_flow(struct flow_key *, const struct flow *);

/* Fills in 'mask' with the mask on compact keys that means the same as 'wc'
 * for packets that match 'flow'.  Returns false if there is none: the flow
 * must be matched by its full struct flow then. */
bool flow_key_mask_from_wildcards(struct flow_key *mask,
                                  const struct flow *,
                                  const struct flow_wildcards *wc);

#endif /* flow-convert.h */

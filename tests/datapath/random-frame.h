/* Random frames and masks, for tests of those who parse and match them. */
#ifndef RANDOM_FRAME_H
#define RANDOM_FRAME_H 1

#include <stddef.h>
#include <stdint.h>

struct flow;
struct flow_wildcards;

#define RANDOM_FRAME_MAX 400

/* Fills in 'frame', of RANDOM_FRAME_MAX bytes, with a frame of any kind, cut
 * short or damaged some of the time, and returns its length.  Values are few,
 * so that flows meet. */
size_t random_frame(uint8_t *frame);

/* Fills in 'wc' with some of the fields that flows of the kind of 'flow' have,
 * as libofproto would: packet type and Ethertype always. */
void random_mask(const struct flow *, struct flow_wildcards *wc);

#endif /* random-frame.h */

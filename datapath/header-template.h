/* Recognizing a packet whose headers say the same as those of the one before.
 *
 * Most of what a guest sends in one go belongs to one flow.  Its packets differ
 * in what no flow looks at: lengths, identification, sequence numbers,
 * checksums.  To parse each of them just to find the same flow key costs three
 * times as much as to compare its first bytes, eight at a time, under a mask.
 *
 * A template stands for one parsed packet.  A packet that matches it has the
 * same key and the same offsets, because parsing it would go the same way:
 * the headers are the same as far as the parser looks at them, and the lengths
 * in them, which are checked, leave as much room.  Only IP packets without
 * fragments and IPv6 extension headers have templates. */
#ifndef HEADER_TEMPLATE_H
#define HEADER_TEMPLATE_H 1

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "datapath/flow-key.h"

#define HEADER_TEMPLATE_WORDS 10 /* Two VLAN tags, IPv6 and TCP flags. */

struct header_template {
    uint64_t value[HEADER_TEMPLATE_WORDS]; /* First bytes of the frame... */
    uint64_t mask[HEADER_TEMPLATE_WORDS];  /* ...as far as they matter. */
    unsigned int n_words;       /* That many; 0: matches nothing. */
    uint16_t l3_ofs;
    uint16_t length_ofs;        /* Of the length field in the frame... */
    uint16_t length_add;        /* ...and what it doesn't count. */
    uint16_t min_length;        /* Least length of the IP packet. */
};

/* Returns true if the IP packet in the frame of 'len' bytes at 'head' is as
 * long as parsing it like that of 'template' takes. */
static inline bool
header_template_fits(const struct header_template *template,
                     const uint8_t *head, uint32_t len)
{
    uint32_t room = len - template->l3_ofs;
    uint32_t length = flow_key_host16(head + template->length_ofs)
                      + template->length_add;

    return length >= template->min_length && length <= room
           && room - length <= 0xffff;
}

/* Returns true if the frame of 'len' bytes, the first 'head_len' of them at
 * 'head', has the same key as that which 'template' was made from. */
static inline bool
header_template_matches(const struct header_template *template,
                        const uint8_t *head, uint32_t head_len, uint32_t len)
{
    unsigned int n = template->n_words;
    uint64_t diff = 0;

    if (!n || head_len < n * sizeof diff) {
        return false;
    }
    for (unsigned int i = 0; i < n; i++) {
        uint64_t word;

        memcpy(&word, head + i * sizeof word, sizeof word);
        diff |= (word & template->mask[i]) ^ template->value[i];
    }
    return !diff && header_template_fits(template, head, len);
}

/* What the parser looks at in a transport header: bits of its first bytes, and
 * the least length that it asks for. */
static inline unsigned int
header_template_l4(uint8_t nw_proto, const uint8_t *th, uint8_t *mask)
{
    switch (nw_proto) {
    case 6:                     /* TCP: ports, data offset and flags. */
        memset(mask, 0xff, 4);
        memset(mask + 12, 0xff, 2);
        return (th[12] >> 4) * 4;
    case 17:                    /* UDP... */
        memset(mask, 0xff, 4);
        return 8;
    case 132:                   /* ...and SCTP: ports. */
        memset(mask, 0xff, 4);
        return 12;
    case 1:                     /* ICMP... */
    case 2:                     /* ...IGMP... */
    case 58:                    /* ...and ICMPv6: type and code. */
        memset(mask, 0xff, 2);
        return 8;
    default:
        return 0;
    }
}

/* Makes 'template' one of the frame of 'len' bytes, the first 'head_len' of
 * them at 'head', that was parsed into 'key' and 'parsed'; or one that matches
 * nothing. */
static inline void
header_template_make(struct header_template *template, const uint8_t *head,
                     uint32_t head_len, uint32_t len,
                     const struct flow_key *key,
                     const struct flow_parse *parsed)
{
    bool ipv6 = key->dl_type == flow_key_htons(0x86dd);
    size_t l3 = parsed->l3_ofs, l4 = parsed->l4_ofs;
    size_t end = l4 + (key->nw_proto == 6 ? 14 : 4);
    unsigned int n_words = (end + 7) / 8;
    uint8_t mask[8 * HEADER_TEMPLATE_WORDS] = { 0 };

    template->n_words = 0;
    if (parsed->l4_ofs == FLOW_KEY_NO_OFS || key->nw_frag
        || n_words > HEADER_TEMPLATE_WORDS || head_len < 8 * n_words
        || (ipv6 ? l4 != l3 + 40
            : key->dl_type != flow_key_htons(0x0800))) {
        return;
    }
    memset(mask, 0xff, l3);
    if (ipv6) {
        memset(mask + l3, 0xff, 4);             /* Version, class, label. */
        memset(mask + l3 + 6, 0xff, 34);        /* From next header on. */
    } else {
        memset(mask + l3, 0xff, 2);             /* Version, length, TOS. */
        mask[l3 + 6] = 0x3f;                    /* Fragment offset, without... */
        mask[l3 + 7] = 0xff;                    /* ...its flag that forbids. */
        memset(mask + l3 + 8, 0xff, 2);         /* TTL, protocol. */
        memset(mask + l3 + 12, 0xff, 8);        /* Addresses. */
    }
    template->l3_ofs = l3;
    template->length_ofs = l3 + (ipv6 ? 4 : 2);
    template->length_add = ipv6 ? 40 : 0;
    template->min_length = l4 - l3 + header_template_l4(key->nw_proto,
                                                        head + l4, mask + l4);
    for (unsigned int i = 0; i < n_words; i++) {
        memcpy(&template->mask[i], mask + 8 * i, 8);
        memcpy(&template->value[i], head + 8 * i, 8);
        template->value[i] &= template->mask[i];
    }
    /* One whose transport header was cut short, or has lengths that make no
     * sense, was not looked at. */
    if (header_template_fits(template, head, len)
        && !(key->nw_proto == 6 && template->min_length < l4 - l3 + 20)) {
        template->n_words = n_words;
    }
}

#endif /* header-template.h */

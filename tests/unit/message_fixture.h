/* Messages of every kind for the tests of the message layer: filled structs, their encodings, and
 * encodings with one thing changed. */
#ifndef SHIMD_MESSAGE_FIXTURE_H
#define SHIMD_MESSAGE_FIXTURE_H

#include "common/message.h"

/* A struct of `id` with every field set, those of inner records too. `limits` makes each value the
 * greatest its limit allows (those of at most 4096). Memory comes from `zone`. */
void *message_filled(msg_id_t id, bool limits, msgpack_zone *zone);

/* What to change in an encoded map. */
typedef struct message_change {
    const char *key;   /* entry that is changed; NULL for none */
    const void *value; /* msgpack that takes the place of its value; NULL drops the entry */
    size_t value_size;
    bool add_unknown; /* put entries with unknown keys in, before and after the others */
} message_change_t;

/* `value` of `id` encoded, with `change` (which may be NULL) made. */
void message_encoded(msg_id_t id, const void *value, const message_change_t *change,
                     msgpack_sbuffer *out);

/* Decodes into fresh memory of `zone`; returns NULL on failure. */
void *message_decoded(msg_id_t id, const msgpack_sbuffer *data, msgpack_zone *zone, status_t *st);

/* Wire name of a method, C name of a record. */
const char *message_name(msg_id_t id);

#endif

/* Events as `ctr events` prints them: TIMESTAMP NAMESPACE TOPIC JSON. */
#ifndef SHIMD_EVENT_LINE_H
#define SHIMD_EVENT_LINE_H

#include <jansson.h>
#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

/* What is read of an event map; texts point into the unpacked object and end at their size. */
typedef struct event_line {
    uint64_t seq; /* 0 when it has none */
    int64_t time; /* ns since the epoch */
    const msgpack_object_str *ns, *topic;
    const msgpack_object *event; /* NULL when the fields are not known */
    const msgpack_object *raw;   /* the encoded event then */
    const msgpack_object *type;
    const msgpack_object_str *reason; /* why it is not in the journal; NULL where it is */
} event_line_t;

/* False when the object is no event map with a namespace and a topic. */
bool event_line_read(const msgpack_object *object, event_line_t *ret);

/* The line without its end; the caller frees. Fields are written as Go's encoding/json writes
 * containerd's generated structs: zero values left out, times as RFC 3339, <, > and & escaped. A
 * reason follows behind a #. */
char *event_line_text(const event_line_t *line);

#endif

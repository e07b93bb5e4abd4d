/* containerd's filters (pkg/filters): which of many things are wanted.
 *
 *   filter    := selector ("," selector)*         all of them must match; an empty filter matches
 * all selector  := path [operator value]            without an operator: the field is there path :=
 * field ("." field)* field     := quoted | [A-Za-z0-9_]+ operator  := "==" | "!=" | "~=" equal, not
 * equal, matches a regular expression | ">" | ">=" | "<" | "<="          of numbers and times; not
 * in containerd value     := quoted | a run of characters but "," and blanks quoted    := "..."
 * with the escapes of Go; behind ~= also /.../ and |...|
 *
 * A field that is absent has the empty text for a value: so != is true of it, unless its value is
 * empty too, and ~= is true of it if the expression matches nothing at all. ==, > and so on are
 * false. Where a field is a number or a time, == and != compare it as such. > and so on take text
 * for a number or a time if it reads like one, for instance that of a label. */
#ifndef SHIMD_FILTER_H
#define SHIMD_FILTER_H

#include "common/message.h"

#define FILTERS_MAX            LIMIT_FILTERS /* filters, any of which may match */
#define FILTER_BYTES_MAX       4096          /* of one of them */
#define FILTER_SELECTORS_MAX   256           /* of all of them together */
#define FILTER_PATH_MAX        32            /* fields of one path */
#define FILTER_EXPRESSIONS_MAX (1u << 20)    /* bytes of all regular expressions, compiled */
#define FILTER_CPU_MS          500           /* of processor time from one rewind to the next */

typedef struct filter filter_t;

typedef struct filter_text {
    const char *data; /* `size` bytes, NUL may be one of them */
    size_t size;
} filter_text_t;

typedef struct filter_path {
    const filter_text_t *parts;
    size_t count; /* 1 at least */
} filter_path_t;

typedef enum filter_kind { FILTER_TEXT, FILTER_NUMBER, FILTER_TIME } filter_kind_t;

typedef struct filter_value {
    filter_kind_t kind;
    filter_text_t text; /* borrowed from the object */
    long double number;
    int64_t time; /* ns since the epoch */
} filter_value_t;

/* Writes the value that the path leads to in `object`. False when it leads to none; `*ret` is not
 * looked at then. */
typedef bool filter_adaptor_t(const void *object, const filter_path_t *path, filter_value_t *ret);

/* Compiles filters, one of which must match. `*ret` is NULL when there are none, which stands for
 * one that matches everything; filter_destroy otherwise. INVALID_ARGUMENT tells the place as
 * containerd does, "filters: parse error: [name==foo >|,|< ]: expected field or quoted", or names
 * the limit. Durations in `texts` count from the time of this call. */
status_code_t filter_parse(const msg_texts_t *texts, filter_t **ret, status_t *st);
void filter_destroy(filter_t **self);

/* Whether the object is wanted. Regular expressions run within limits of steps, memory and time;
 * where they come to one, everything after it is false and filter_status tells. */
bool filter_match(filter_t *self, filter_adaptor_t *adaptor, const void *object);

/* RESOURCE_EXHAUSTED once a match was given up: what filter_match said is then not to be used. */
status_code_t filter_status(const filter_t *self, status_t *st);

/* Begins a new account of processor time; for filters that live longer than one request. */
void filter_rewind(filter_t *self);

/* A record of messages.def by the names of its fields, those of inner records behind a point. A
 * label is "labels." and its key, whatever points are in that. containerd's names of the same
 * things work too: `namespace` for ns, `runtime.name` for runtime. Empty texts are absent, and
 * times of 0 are; numbers and flags are there always. */
bool filter_match_record(filter_t *self, msg_id_t id, const void *value);

/* An event map as it is published: `namespace`, `topic`, `event.exit_status`, `seq`, ... */
bool filter_match_event(filter_t *self, const msgpack_object *event);

#endif

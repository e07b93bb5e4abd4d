/* What scanner, parser and matcher of filters share. */
#ifndef SHIMD_FILTER_INTERNAL_H
#define SHIMD_FILTER_INTERNAL_H

#include "common/filter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

typedef enum filter_operator {
    OPERATOR_PRESENT,
    OPERATOR_EQUAL,
    OPERATOR_NOT_EQUAL,
    OPERATOR_MATCHES,
    OPERATOR_LESS,
    OPERATOR_LESS_EQUAL,
    OPERATOR_GREATER,
    OPERATOR_GREATER_EQUAL,
} filter_operator_t;

typedef struct filter_selector {
    filter_path_t path;
    filter_operator_t operator;
    filter_text_t text; /* the operand */
    bool is_number, is_time;
    long double number;     /* where the operand reads like one */
    int64_t time;           /* likewise, ns since the epoch */
    pcre2_code *expression; /* of OPERATOR_MATCHES; owned */
} filter_selector_t;

typedef struct filter_alternative {
    size_t first, end; /* its selectors */
} filter_alternative_t;

struct filter {
    msgpack_zone *zone; /* texts and paths */
    filter_alternative_t alternatives[FILTERS_MAX];
    size_t count;
    filter_selector_t selectors[FILTER_SELECTORS_MAX];
    size_t selector_count;
    size_t expression_bytes;
    int64_t now;
    pcre2_match_context *match_context;
    pcre2_match_data *match_data;
    int64_t cpu_ns;      /* used since the last rewind */
    int64_t started_ns;  /* of the match under way */
    uint32_t steps_left; /* until the clock is looked at again */
    uint32_t stride;     /* steps between two looks */
    bool gave_up;
};

/* Scanner: a filter's text and how far it is read. Errors are told with their place. */
typedef struct filter_scan {
    const char *text;
    size_t size, at;
    char *room; /* for what is unquoted, which is never longer than it was */
    status_t *st;
} filter_scan_t;

bool filter_scan_is_done(const filter_scan_t *self);
char filter_scan_peek(const filter_scan_t *self); /* NUL at the end */
void filter_scan_blanks(filter_scan_t *self);
status_code_t filter_scan_field(filter_scan_t *self, filter_text_t *ret);
status_code_t filter_scan_operator(filter_scan_t *self, filter_operator_t *ret);
status_code_t filter_scan_value(filter_scan_t *self, bool is_expression, filter_text_t *ret);

/* INVALID_ARGUMENT "filters: parse error: SUBJECT[before >|here|< behind]: SENTENCE", as
 * containerd. `subject` is what stands before the bracket, mostly nothing. */
status_code_t filter_scan_fail(status_t *st, const char *subject, filter_text_t text, size_t at,
                               const char *sentence);

#endif

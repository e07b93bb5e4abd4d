/* Filters: compiling them. */
#include "common/filter_internal.h"

#include "common/scalar.h"
#include "common/utf8.h"
#include "common/util.h"

#include <string.h>

/* Of one regular expression at one place of a text: PCRE2 counts anew from each place on. */
#define MATCH_STEPS_MAX 1000000
#define MATCH_HEAP_KIB  4096

static void *take(filter_t *self, size_t size)
{
    void *memory = msgpack_zone_malloc(self->zone, size ? size : 1);
    if (!memory)
        abort();
    return memory;
}

/* Regular expressions ---------------------------------------------------------------------------
 */

static status_code_t refuse_expression(filter_text_t text, int error, size_t at, status_t *st)
{
    char sentence[128];
    if (pcre2_get_error_message(error, (PCRE2_UCHAR *)sentence, sizeof sentence) < 0)
        snprintf(sentence, sizeof sentence, "error %d", error);
    return filter_scan_fail(st, "regular expression ", text, at > text.size ? text.size : at,
                            sentence);
}

/* Syntax is Perl's, which has that of Go's regexp in all that is in use; where both have it, the
 * meaning is Go's. Automatic callouts let the matcher look at the clock. */
static status_code_t compile(filter_t *self, filter_selector_t *selector, status_t *st)
{
    const uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY |
                             PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UCP | PCRE2_AUTO_CALLOUT;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        abort();
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int error;
    size_t at, size = 0;
    selector->expression = pcre2_compile((PCRE2_SPTR)selector->text.data, selector->text.size,
                                         options, &error, &at, context);
    pcre2_compile_context_free(context);
    if (!selector->expression)
        return refuse_expression(selector->text, error, at, st);
    pcre2_pattern_info(selector->expression, PCRE2_INFO_SIZE, &size);
    self->expression_bytes += size;
    if (self->expression_bytes > FILTER_EXPRESSIONS_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "filters: regular expressions are more than %u bytes when compiled",
                          FILTER_EXPRESSIONS_MAX);
    return STATUS_OK;
}

/* Parser ----------------------------------------------------------------------------------------
 */

static status_code_t parse_path(filter_t *self, filter_scan_t *scan, filter_path_t *ret)
{
    filter_text_t parts[FILTER_PATH_MAX];
    size_t count = 0;
    do {
        if (count == FILTER_PATH_MAX)
            return status_set(scan->st, STATUS_INVALID_ARGUMENT,
                              "filters: a path has more than %d fields", FILTER_PATH_MAX);
        scan->at += count > 0; /* the point */
        if (filter_scan_field(scan, &parts[count++]))
            return scan->st->code;
    } while (filter_scan_peek(scan) == '.');
    filter_text_t *copy = take(self, count * sizeof *copy);
    memcpy(copy, parts, count * sizeof *copy);
    *ret = (filter_path_t){.parts = copy, .count = count};
    return STATUS_OK;
}

static bool is_order(filter_operator_t operator)
{
    return operator>= OPERATOR_LESS;
}

static status_code_t parse_operand(filter_t *self, filter_scan_t *scan, filter_selector_t *selector)
{
    filter_text_t *text = &selector->text;
    filter_scan_blanks(scan);
    size_t at = scan->at;
    if (filter_scan_value(scan, selector->operator== OPERATOR_MATCHES, text))
        return scan->st->code;
    if (selector->operator== OPERATOR_MATCHES)
        return compile(self, selector, scan->st);
    selector->is_number = scalar_read_number(text->data, text->size, &selector->number);
    selector->is_time = scalar_read_time_from(text->data, text->size, self->now, &selector->time);
    if (is_order(selector->operator) && !selector->is_number && !selector->is_time)
        return filter_scan_fail(scan->st, "",
                                (filter_text_t){.data = scan->text, .size = scan->size}, at,
                                "expected a number or a time");
    return STATUS_OK;
}

static status_code_t parse_selector(filter_t *self, filter_scan_t *scan)
{
    if (self->selector_count == FILTER_SELECTORS_MAX)
        return status_set(scan->st, STATUS_INVALID_ARGUMENT, "filters: more than %d selectors",
                          FILTER_SELECTORS_MAX);
    filter_selector_t *selector = &self->selectors[self->selector_count++];
    if (parse_path(self, scan, &selector->path))
        return scan->st->code;
    filter_scan_blanks(scan);
    if (filter_scan_is_done(scan) || filter_scan_peek(scan) == ',')
        return STATUS_OK;
    if (filter_scan_operator(scan, &selector->operator))
        return scan->st->code;
    return parse_operand(self, scan, selector);
}

static status_code_t parse_selectors(filter_t *self, filter_scan_t *scan)
{
    for (;;) {
        if (parse_selector(self, scan))
            return scan->st->code;
        filter_scan_blanks(scan);
        if (filter_scan_is_done(scan))
            return STATUS_OK;
        if (filter_scan_peek(scan) != ',')
            return filter_scan_fail(scan->st, "",
                                    (filter_text_t){.data = scan->text, .size = scan->size},
                                    scan->at, "unexpected input");
        scan->at++;
    }
}

static status_code_t parse_one(filter_t *self, const char *text, status_t *st)
{
    size_t size = strlen(text);
    if (size > FILTER_BYTES_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "filters: one is %zu bytes long, limit %d",
                          size, FILTER_BYTES_MAX);
    if (!utf8_is_valid(text, size))
        return status_set(st, STATUS_INVALID_ARGUMENT, "filters: one is not UTF-8");
    /* Selectors point into the text. */
    char *copy = memcpy(take(self, size + 1), text, size + 1);
    filter_scan_t scan = {.text = copy, .size = size, .room = take(self, size), .st = st};
    filter_alternative_t *alternative = &self->alternatives[self->count++];
    alternative->first = self->selector_count;
    if (size && parse_selectors(self, &scan))
        return st->code;
    alternative->end = self->selector_count;
    return STATUS_OK;
}

static filter_t *filter_new(void)
{
    filter_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    self->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    self->match_context = pcre2_match_context_create(NULL);
    self->match_data = pcre2_match_data_create(1, NULL);
    if (!self->zone || !self->match_context || !self->match_data)
        abort();
    pcre2_set_match_limit(self->match_context, MATCH_STEPS_MAX);
    pcre2_set_heap_limit(self->match_context, MATCH_HEAP_KIB);
    self->now = util_now_ns();
    return self;
}

status_code_t filter_parse(const msg_texts_t *texts, filter_t **ret, status_t *st)
{
    *ret = NULL;
    if (texts->count > FILTERS_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "filters: there are %zu, limit %d",
                          texts->count, FILTERS_MAX);
    if (texts->count == 0)
        return STATUS_OK;
    filter_t *self = filter_new();
    for (size_t i = 0; i < texts->count; i++)
        if (parse_one(self, texts->items[i], st)) {
            filter_destroy(&self);
            return st->code;
        }
    *ret = self;
    return STATUS_OK;
}

void filter_destroy(filter_t **self_p)
{
    filter_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->selector_count; i++)
        pcre2_code_free(self->selectors[i].expression);
    pcre2_match_data_free(self->match_data);
    pcre2_match_context_free(self->match_context);
    msgpack_zone_free(self->zone);
    free(self);
    *self_p = NULL;
}

/* Options of commands: getopt_long over rows. */
#include "client/options.h"

#include "common/scalar.h"
#include "common/util.h"

#include <assert.h>
#include <czmq.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>

#define LONG_BASE 256 /* getopt's value of row n's long name is LONG_BASE + n */

typedef struct value {
    char **items; /* NULL-terminated; the texts are argv's */
    size_t count;
} value_t;

struct options {
    const option_row_t *rows[OPTIONS_ROWS_MAX + 1];
    value_t values[OPTIONS_ROWS_MAX];
    size_t count;
    char **operands;
    size_t operand_count;
};

options_t *options_new(void)
{
    options_t *self = zmalloc(sizeof *self);
    self->operands = zmalloc(sizeof *self->operands);
    return self;
}

void options_destroy(options_t **self_p)
{
    options_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free(self->values[i].items);
    free(self->operands);
    free(self);
    *self_p = NULL;
}

static bool is_known(const options_t *self, const option_row_t *row)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->rows[i] == row)
            return true;
    return false;
}

void options_add(options_t *self, const option_row_t *rows)
{
    for (; rows && rows->name; rows++) {
        if (is_known(self, rows))
            continue;
        assert(self->count < OPTIONS_ROWS_MAX);
        self->rows[self->count++] = rows;
    }
}

const option_row_t *options_row(const options_t *self, size_t index)
{
    return index < self->count ? self->rows[index] : NULL;
}

/* Parsing ---------------------------------------------------------------------------------------
 */

typedef struct getopt_table {
    struct option longs[OPTIONS_ROWS_MAX + 1];
    char letters[2 * OPTIONS_ROWS_MAX + 3];
} getopt_table_t;

/* '+' stops at the first operand, ':' tells a missing value from an unknown option. */
static void fill_table(const options_t *self, getopt_table_t *table)
{
    size_t used = 0;
    memset(table, 0, sizeof *table);
    table->letters[used++] = '+';
    table->letters[used++] = ':';
    for (size_t i = 0; i < self->count; i++) {
        const option_row_t *row = self->rows[i];
        bool valued = row->kind != OPTION_FLAG;
        table->longs[i] = (struct option){.name = row->name,
                                          .has_arg = valued ? required_argument : no_argument,
                                          .val = LONG_BASE + (int)i};
        if (!row->letter)
            continue;
        table->letters[used++] = row->letter;
        if (valued)
            table->letters[used++] = ':';
    }
}

static void add_operand(options_t *self, char *word)
{
    size_t count = self->operand_count + 1;
    self->operands = realloc(self->operands, (count + 1) * sizeof *self->operands);
    if (!self->operands)
        abort();
    self->operands[count - 1] = word;
    self->operands[count] = NULL;
    self->operand_count = count;
}

static status_code_t add_value(options_t *self, size_t index, char *text, status_t *st)
{
    value_t *value = &self->values[index];
    const option_row_t *row = self->rows[index];
    if (row->kind != OPTION_LIST)
        value->count = 0;
    if (value->count >= OPTIONS_LIST_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "--%s is given more than %d times",
                          row->name, OPTIONS_LIST_MAX);
    value->items = realloc(value->items, (value->count + 2) * sizeof *value->items);
    if (!value->items)
        abort();
    value->items[value->count++] = text;
    value->items[value->count] = NULL;
    return STATUS_OK;
}

/* The index of the row that getopt's answer names; `count` for none. */
static size_t row_of(const options_t *self, int answer)
{
    if (answer >= LONG_BASE)
        return (size_t)(answer - LONG_BASE);
    for (size_t i = 0; i < self->count; i++)
        if (answer && self->rows[i]->letter == answer)
            return i;
    return self->count;
}

static status_code_t refuse(const options_t *self, int answer, const char *word, status_t *st)
{
    size_t index = row_of(self, optopt);
    if (index == self->count && optopt)
        return status_set(st, STATUS_INVALID_ARGUMENT, "unknown option -%c", optopt);
    if (index == self->count)
        return status_set(st, STATUS_INVALID_ARGUMENT, "unknown or ambiguous option %s", word);
    return status_set(st, STATUS_INVALID_ARGUMENT,
                      answer == ':' ? "option --%s needs a value" : "option --%s takes no value",
                      self->rows[index]->name);
}

/* Handles the options before the next operand. `optind` is that operand then; `ended` is set when
 * "--" stood before it. */
static status_code_t parse_run(options_t *self, int argc, char **argv, const getopt_table_t *table,
                               bool *ended, status_t *st)
{
    opterr = 0;
    for (;;) {
        optopt = 0;
        int at = optind ? optind : 1;
        int answer = getopt_long(argc, argv, table->letters, table->longs, NULL);
        if (answer == -1) {
            *ended = optind > at;
            return STATUS_OK;
        }
        if (answer == '?' || answer == ':')
            return refuse(self, answer, argv[at], st);
        if (add_value(self, row_of(self, answer), optarg, st))
            return st->code;
    }
}

status_code_t options_parse(options_t *self, int argc, char **argv, size_t stop_after, status_t *st)
{
    getopt_table_t table;
    fill_table(self, &table);
    self->operand_count = 0;
    self->operands[0] = NULL;
    optind = 0; /* glibc: forget what an earlier parse left */
    int next = 1;
    bool ended = false;
    while (next < argc && !ended && self->operand_count < stop_after) {
        if (parse_run(self, argc, argv, &table, &ended, st))
            return st->code;
        next = optind;
        if (next < argc && !ended)
            add_operand(self, argv[next++]);
        optind = next;
    }
    if (next < argc && !ended && !strcmp(argv[next], "--"))
        next++;
    for (; next < argc; next++)
        add_operand(self, argv[next]);
    return STATUS_OK;
}

char **options_operands(const options_t *self, size_t *count)
{
    *count = self->operand_count;
    return self->operands;
}

/* Looking up ------------------------------------------------------------------------------------
 */

static size_t index_of(const options_t *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++)
        if (!strcmp(self->rows[i]->name, name))
            return i;
    return self->count;
}

static const value_t *value_of(const options_t *self, const char *name)
{
    size_t index = index_of(self, name);
    assert(index < self->count);
    return &self->values[index];
}

bool options_given(const options_t *self, const char *name)
{
    return value_of(self, name)->count > 0;
}

bool options_flag(const options_t *self, const char *name)
{
    return options_given(self, name);
}

const char *options_text(const options_t *self, const char *name)
{
    const value_t *value = value_of(self, name);
    return value->count ? value->items[value->count - 1] : NULL;
}

char *const *options_list(const options_t *self, const char *name)
{
    const value_t *value = value_of(self, name);
    return value->count ? value->items : NULL;
}

const option_row_t *options_find(const options_t *self, const char *word)
{
    if (word[0] != '-' || !word[1])
        return NULL;
    if (word[1] != '-') {
        size_t index = row_of(self, word[1]);
        return index < self->count && !word[2] ? self->rows[index] : NULL;
    }
    size_t size = strcspn(word + 2, "=");
    for (size_t i = 0; i < self->count; i++)
        if (strlen(self->rows[i]->name) == size && !strncmp(self->rows[i]->name, word + 2, size))
            return self->rows[i];
    return NULL;
}

/* Numbers ---------------------------------------------------------------------------------------
 */

status_code_t options_u64(const options_t *self, const char *name, uint64_t max, uint64_t *ret,
                          status_t *st)
{
    const char *text = options_text(self, name);
    if (!text)
        return STATUS_OK;
    char *end;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number > max)
        return status_set(st, STATUS_INVALID_ARGUMENT, "--%s %s: not a whole number up to %" PRIu64,
                          name, text, max);
    *ret = number;
    return STATUS_OK;
}

status_code_t options_i64(const options_t *self, const char *name, int64_t min, int64_t max,
                          int64_t *ret, status_t *st)
{
    const char *text = options_text(self, name);
    if (!text)
        return STATUS_OK;
    char *end;
    errno = 0;
    int64_t number = strtoll(text, &end, 10);
    bool digit = text[*text == '-'] >= '0' && text[*text == '-'] <= '9';
    if (!digit || *end || errno || number < min || number > max)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--%s %s: not a whole number from %" PRId64 " to %" PRId64, name, text,
                          min, max);
    *ret = number;
    return STATUS_OK;
}

status_code_t options_double(const options_t *self, const char *name, double *ret, status_t *st)
{
    const char *text = options_text(self, name);
    if (!text)
        return STATUS_OK;
    char *end;
    double number = strtod(text, &end);
    if (!*text || isspace((unsigned char)*text) || *end || !isfinite(number))
        return status_set(st, STATUS_INVALID_ARGUMENT, "--%s %s: not a number", name, text);
    *ret = number;
    return STATUS_OK;
}

status_code_t options_milliseconds(const options_t *self, const char *name, int64_t *ret,
                                   status_t *st)
{
    const int64_t max = (int64_t)365 * 24 * 3600 * 1000;
    const char *text = options_text(self, name);
    int64_t ns;
    if (!text)
        return STATUS_OK;
    if (!scalar_read_duration(text, strlen(text), &ns) || ns < 0 || ns / 1000000 > max)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--%s %s: not a time like 30s, 1m30s or 500ms, at most a year", name,
                          text);
    *ret = ns / 1000000;
    return STATUS_OK;
}

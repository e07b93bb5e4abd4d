/* What commands print: tables, JSON lines, times. */
#include "client/output.h"

#include "common/util.h"

#include <czmq.h>
#include <stdarg.h>

#define COLUMNS_MAX 32

typedef struct row {
    char *text;               /* cells ended by NUL instead of tab */
    char *cells[COLUMNS_MAX]; /* those that a tab ended */
    size_t count;
    char *rest; /* behind the last tab */
} row_t;

struct table {
    row_t *rows;
    size_t count, room;
    size_t padding;
};

table_t *table_new(size_t padding)
{
    table_t *self = zmalloc(sizeof *self);
    self->padding = padding;
    return self;
}

void table_destroy(table_t **self_p)
{
    table_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free(self->rows[i].text);
    free(self->rows);
    free(self);
    *self_p = NULL;
}

static void split(row_t *row)
{
    char *at = row->text;
    char *tab;
    while (row->count < COLUMNS_MAX && (tab = strchr(at, '\t'))) {
        *tab = '\0';
        output_tame(at);
        row->cells[row->count++] = at;
        at = tab + 1;
    }
    output_tame(at);
    row->rest = at;
}

void table_add(table_t *self, const char *format, ...)
{
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 16;
        self->rows = realloc(self->rows, self->room * sizeof *self->rows);
        if (!self->rows)
            abort();
    }
    row_t *row = &self->rows[self->count++];
    *row = (row_t){0};
    va_list args;
    va_start(args, format);
    if (vasprintf(&row->text, format, args) < 0)
        abort();
    va_end(args);
    split(row);
}

/* Characters, of which UTF-8 has one for each byte that continues none. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* The widest cell of a column in the run of rows around `at` that have it. */
static size_t column_width(const table_t *self, size_t at, size_t column)
{
    size_t first = at, widest = 0;
    while (first > 0 && self->rows[first - 1].count > column)
        first--;
    for (size_t i = first; i < self->count && self->rows[i].count > column; i++) {
        size_t width = width_of(self->rows[i].cells[column]);
        widest = width > widest ? width : widest;
    }
    return widest;
}

void table_print(const table_t *self, FILE *to)
{
    size_t widths[COLUMNS_MAX] = {0};
    for (size_t i = 0; i < self->count; i++) {
        const row_t *row = &self->rows[i];
        for (size_t c = 0; c < row->count; c++) {
            /* A run's width stays valid until a row without the column ends the run. */
            if (i == 0 || self->rows[i - 1].count <= c)
                widths[c] = column_width(self, i, c);
            size_t fill = widths[c] + self->padding - width_of(row->cells[c]);
            fprintf(to, "%s%*s", row->cells[c], (int)fill, "");
        }
        fprintf(to, "%s\n", row->rest);
    }
}

static void print_json(json_t *value, size_t flags)
{
    if (!value || json_dumpf(value, stdout, flags | JSON_ENCODE_ANY))
        abort();
    json_decref(value);
    putchar('\n');
    fflush(stdout);
}

void output_json(json_t *value)
{
    print_json(value, JSON_COMPACT);
}

void output_json_indented(json_t *value)
{
    print_json(value, JSON_INDENT(4));
}

void output_tame(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

void output_duration(int64_t milliseconds, char text[OUTPUT_TIME_SIZE])
{
    long long seconds = milliseconds / 1000;
    if (seconds < 60)
        snprintf(text, OUTPUT_TIME_SIZE, "%llds", seconds);
    else if (seconds < 3600)
        snprintf(text, OUTPUT_TIME_SIZE, "%lldm%llds", seconds / 60, seconds % 60);
    else if (seconds < 24 * 3600)
        snprintf(text, OUTPUT_TIME_SIZE, "%lldh%lldm", seconds / 3600, seconds / 60 % 60);
    else
        snprintf(text, OUTPUT_TIME_SIZE, "%lldd%lldh", seconds / 86400, seconds / 3600 % 24);
}

void output_size(uint64_t bytes, char text[OUTPUT_SIZE_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
        value /= 1024;
    snprintf(text, OUTPUT_SIZE_SIZE, "%.4g%s", value, units[unit]);
}

void output_go_time(int64_t ns, char text[OUTPUT_TIME_SIZE])
{
    scalar_print_time(ns, " ", " +0000 UTC", text);
}

void output_rfc3339(int64_t ns, char text[OUTPUT_TIME_SIZE])
{
    scalar_print_time(ns, "T", "Z", text);
}

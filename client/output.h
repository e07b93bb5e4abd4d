/* What commands print: tables aligned as ctr's, and JSON lines. */
#ifndef SHIMD_OUTPUT_H
#define SHIMD_OUTPUT_H

#include "common/scalar.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct table table_t;

/* Columns are aligned as Go's text/tabwriter does it, with which ctr writes: a cell is text that a
 * tab ends, and is padded to the widest cell of the rows around it that have this column, plus
 * `padding` blanks. What follows a row's last tab is printed as it is. */
table_t *table_new(size_t padding);
void table_destroy(table_t **self);
void table_add(table_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_print(const table_t *self, FILE *to);

/* One line of JSON to standard output; takes the reference over. Aborts on NULL: memory was short.
 */
void output_json(json_t *value);

/* The same over several lines, indented by four blanks as ctr does it. */
void output_json_indented(json_t *value);

/* Replaces bytes that could change a terminal's state in place: error sentences, labels and names
 * that others chose are shown, never obeyed. */
void output_tame(char *text);

/* 1h2m3s and the like of milliseconds, two units at most. */
#define OUTPUT_TIME_SIZE SCALAR_TIME_SIZE
void output_duration(int64_t milliseconds, char text[OUTPUT_TIME_SIZE]);

/* 1.5MiB and the like, four digits, as docker writes it. */
#define OUTPUT_SIZE_SIZE 16
void output_size(uint64_t bytes, char text[OUTPUT_SIZE_SIZE]);

/* Nanoseconds since the epoch as Go prints a time (2024-01-31 12:00:00.5 +0000 UTC), and as RFC
 * 3339 with the same digits (2024-01-31T12:00:00.5Z). 0 is Go's zero time, the year 1. */
void output_go_time(int64_t ns, char text[OUTPUT_TIME_SIZE]);
void output_rfc3339(int64_t ns, char text[OUTPUT_TIME_SIZE]);

#endif

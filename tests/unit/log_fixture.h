/* A directory for the log of a test, and a look at what was written there. */
#ifndef SHIMD_LOG_FIXTURE_H
#define SHIMD_LOG_FIXTURE_H

#include "logger/log_store.h"

typedef struct log_fixture {
    char root[64]; /* a fresh directory */
    char dir[96];  /* of the log, below it; not made yet */
} log_fixture_t;

/* cmocka's setup and teardown: `*state` is the fixture. */
int log_fixture_setup(void **state);
int log_fixture_teardown(void **state);

/* Adds a line that says `text`, on standard output. */
void log_fixture_add(log_store_t *store, const char *text);

/* All texts of all files in order, each with its newline; those of the writer's own begin with
 * "! ". Fails the test when a line is none. The caller frees. */
char *log_fixture_text(const log_fixture_t *self);

/* How many files the log has, and the path of one. The caller frees. */
int log_fixture_files(const log_fixture_t *self);
char *log_fixture_path(const log_fixture_t *self, uint64_t number);

#endif

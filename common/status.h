/* Outcomes as a gRPC status code and a sentence, inside the cluster and on the wire alike. */
#ifndef SHIMD_STATUS_H
#define SHIMD_STATUS_H

#include <stdarg.h>
#include <stdbool.h>

/* Numbers and names are gRPC's (google.rpc.Code), as containerd's clients know them. */
#define STATUS_CODES(CODE)                                                                         \
    CODE(OK, 0)                                                                                    \
    CODE(CANCELLED, 1)                                                                             \
    CODE(UNKNOWN, 2)                                                                               \
    CODE(INVALID_ARGUMENT, 3)                                                                      \
    CODE(DEADLINE_EXCEEDED, 4)                                                                     \
    CODE(NOT_FOUND, 5)                                                                             \
    CODE(ALREADY_EXISTS, 6)                                                                        \
    CODE(PERMISSION_DENIED, 7)                                                                     \
    CODE(RESOURCE_EXHAUSTED, 8)                                                                    \
    CODE(FAILED_PRECONDITION, 9)                                                                   \
    CODE(ABORTED, 10)                                                                              \
    CODE(OUT_OF_RANGE, 11)                                                                         \
    CODE(UNIMPLEMENTED, 12)                                                                        \
    CODE(INTERNAL, 13)                                                                             \
    CODE(UNAVAILABLE, 14)                                                                          \
    CODE(DATA_LOSS, 15)                                                                            \
    CODE(UNAUTHENTICATED, 16)

typedef enum status_code {
#define STATUS_ENUM(name, number) STATUS_##name = number,
    STATUS_CODES(STATUS_ENUM)
#undef STATUS_ENUM
} status_code_t;

#define STATUS_TEXT_SIZE 512

/* By value: nothing to free, and it works when memory is short. `text` is empty when OK. */
typedef struct status {
    status_code_t code;
    char text[STATUS_TEXT_SIZE];
} status_t;

/* Each of these writes the sentence into `st` and returns the code, so that a failing function can
 * `return status_set(...)`. Text that does not fit is cut at a UTF-8 boundary, and bytes that are
 * no UTF-8 become '?'. */
status_code_t status_set(status_t *st, status_code_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The code that fits `error_number`, the given sentence, and strerror's text after a colon. ENOENT
 * and EEXIST become INTERNAL: rollback takes NOT_FOUND for "already undone" and ALREADY_EXISTS for
 * "not mine", so those two are only ever said on purpose. */
status_code_t status_errno(status_t *st, int error_number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "sentence: " before the text that is there and returns the code that is there. */
status_code_t status_wrap(status_t *st, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void status_clear(status_t *st);

/* "NOT_FOUND" for STATUS_NOT_FOUND; "UNKNOWN" for a number that is no code. Static storage. */
const char *status_name(status_code_t code);

/* True for the codes after which nobody can know whether the request took effect:
 * CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
bool status_is_uncertain(status_code_t code);

#endif

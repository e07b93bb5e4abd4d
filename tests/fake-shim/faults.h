/* What goes wrong in which call, as the test's annotations say: containerd's failpoint terms
 * (internal/failpoint) and some more. */
#ifndef SHIMD_FAKE_FAULTS_H
#define SHIMD_FAKE_FAULTS_H

#include "tests/fake-shim/spec.h"

typedef enum fault_kind {
    FAULT_OFF,      /* nothing goes wrong */
    FAULT_ERROR,    /* error(TEXT), error(CODE:TEXT): not done, answered so; code 2 by default */
    FAULT_DELAY,    /* delay(MS): done and answered that much later */
    FAULT_LATE,     /* late(MS): done at once, answered that much later */
    FAULT_PANIC,    /* panic, panic(TEXT): the daemon kills itself before it does anything */
    FAULT_DIED,     /* died: done, then the daemon kills itself before it answers */
    FAULT_HANG,     /* hang: not done, never answered */
    FAULT_MUTE,     /* mute: done, never answered */
    FAULT_CLOSE,    /* close: not done, the connection is closed */
    FAULT_LOST,     /* lost: done, the connection is closed instead of an answer */
    FAULT_GARBAGE,  /* garbage: done, answered with bytes that are no protobuf */
    FAULT_OVERSIZE, /* oversize: done, answered with a header that announces too much */
} fault_kind_t;

typedef struct fault {
    fault_kind_t kind;
    int64_t ms;
    status_code_t code;
    char text[256];
} fault_t;

/* Takes the container's wishes over: "fail.METHOD" settings, and containerd's own annotation
 * io.containerd.runtime.v2.shim.failpoint.METHOD. The first container's hold for requests without a
 * known id too. INVALID_ARGUMENT for terms that cannot be understood. Again for the same id: does
 * nothing, so that counts go on. */
status_code_t faults_load(const char *id, const spec_t *spec, status_t *st);

/* What is to happen in this call of `method`; counts it. Thread-safe. */
fault_t faults_next(const char *id, const char *method);

/* One list of terms ("1*off->2*error(x)->hang"), evaluated as its first call. For the verbs. */
status_code_t faults_parse_one(const char *terms, fault_t *ret, status_t *st);

/* The methods of the Task service, NULL-terminated. */
extern const char *const fault_methods[];

#endif

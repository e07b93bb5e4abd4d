/* The Task service: one function for each method, over the containers of container.h. */
#ifndef SHIMD_FAKE_SERVICE_H
#define SHIMD_FAKE_SERVICE_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The answer to one call. The payload is the holder's to free. */
typedef struct answer {
    status_t st;
    uint8_t *payload;
    size_t size;
    bool is_last; /* the daemon ends after this one: Shutdown */
} answer_t;

/* A call as it came in. `id` gets the id it is about ("" for none), for which a container's faults
 * are looked up; UNIMPLEMENTED for an unknown method, INTERNAL for what cannot be decoded. */
status_code_t service_id(const char *method, const uint8_t *payload, size_t size, char id[128],
                         status_t *st);

/* The call is held up from here on: a container whose Pause is says PAUSING meanwhile. */
void service_held_up(const char *method, const char *id);

/* Does it, in a thread of its own: Wait takes as long as the process lives. `method` is known and
 * the payload sound, as service_id has found. */
void service_call(const char *method, const uint8_t *payload, size_t size, answer_t *answer);

#endif

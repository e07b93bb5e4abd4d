/* Between service.c and the methods. A method gets the decoded request, holds the lock of
 * container.h, and fills the answer or returns the status that it wrote. */
#ifndef SHIMD_FAKE_SERVICE_INTERNAL_H
#define SHIMD_FAKE_SERVICE_INTERNAL_H

#include "tests/fake-shim/service.h"

#include <protobuf-c/protobuf-c.h>

void service_reply(answer_t *answer, const ProtobufCMessage *message);

/* Where a real shim dereferences nil: the daemon dies, its containers live on. */
_Noreturn void service_crash(const char *why);

status_code_t service_on_create(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_start(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_exec(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_state(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_wait(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_delete(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_kill(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_resize(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_close_io(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_pause(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_resume(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_pids(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_stats(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_update(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_checkpoint(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_connect(const void *message, answer_t *answer, status_t *st);
status_code_t service_on_shutdown(const void *message, answer_t *answer, status_t *st);

#endif

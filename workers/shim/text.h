/* Texts and JSON of requests on their way to a shim. */
#ifndef SHIMD_SHIM_TEXT_H
#define SHIMD_SHIM_TEXT_H

#include "common/worker.h"

#include <jansson.h>

/* protobuf-c has no absent strings. */
char *text_or_empty(const char *text);

/* The bytes as a JSON object, which the caller releases; NULL after having failed the request with
 * INVALID_ARGUMENT. `what` ("task.exec: spec") begins the sentence. Integers beyond jansson's
 * become reals: the object is for looking at, the shim gets the bytes. */
json_t *text_json_object(request_t *request, const msg_bytes_t *bytes, const char *what);

#endif

/* Texts and JSON of requests. */
#include "workers/shim/text.h"

#include "workers/shim/manager.h"

char *text_or_empty(const char *text)
{
    return (char *)(text ? text : "");
}

json_t *text_json_object(request_t *request, const msg_bytes_t *bytes, const char *what)
{
    json_error_t error;
    json_t *object =
        json_loadb((const char *)bytes->data, bytes->size, JSON_DECODE_INT_AS_REAL, &error);
    if (json_is_object(object))
        return object;
    manager_fail(request, STATUS_INVALID_ARGUMENT, "%s is not a JSON object: %s", what,
                 object ? "another JSON value" : error.text);
    json_decref(object);
    return NULL;
}

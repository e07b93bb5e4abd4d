/* Building JSON trees where nothing can fail but memory, and weighing them. */
#include "client/oci/oci_json.h"

#include <stdlib.h>

void oci_json_set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value))
        abort();
}

void oci_json_push(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value))
        abort();
}

void oci_json_set_filled(json_t *object, const char *key, json_t *array)
{
    if (json_array_size(array))
        oci_json_set(object, key, array);
    else
        json_decref(array);
}

json_t *oci_json_strings(const char *const *texts, size_t count)
{
    json_t *array = oci_json_must(json_array());
    for (size_t i = 0; i < count; i++)
        oci_json_push(array, json_string(texts[i]));
    return array;
}

json_t *oci_json_must(json_t *value)
{
    if (!value)
        abort();
    return value;
}

status_code_t oci_json_check_size(const char *what, const json_t *value, size_t max, status_t *st)
{
    size_t size = json_dumpb(value, NULL, 0, JSON_COMPACT);
    if (size > max)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s is %zu bytes long, limit %zu", what,
                          size, max);
    return STATUS_OK;
}

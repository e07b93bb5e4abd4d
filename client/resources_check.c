/* The types of OCI's linux resources. A runtime ignores a field that is misspelt, and a shim's
 * sentence about a wrong type names no field. */
#include "client/resources_check.h"

#include "common/util.h"

#include <string.h>

typedef enum field_type {
    FIELD_OBJECT, /* with fields of this table */
    FIELD_NUMBER, /* whole */
    FIELD_COUNT,  /* whole, not negative */
    FIELD_FLAG,
    FIELD_TEXT,
    FIELD_ARRAY, /* of objects; the runtime looks into them */
    FIELD_MAP,   /* from any name to text or an object */
} field_type_t;

typedef struct field_row {
    const char *path;
    field_type_t type;
} field_row_t;

static const field_row_t fields[] = {
    {"devices", FIELD_ARRAY},
    {"memory", FIELD_OBJECT},
    {"memory.limit", FIELD_NUMBER},
    {"memory.reservation", FIELD_NUMBER},
    {"memory.swap", FIELD_NUMBER},
    {"memory.kernel", FIELD_NUMBER},
    {"memory.kernelTCP", FIELD_NUMBER},
    {"memory.swappiness", FIELD_COUNT},
    {"memory.disableOOMKiller", FIELD_FLAG},
    {"memory.useHierarchy", FIELD_FLAG},
    {"memory.checkBeforeUpdate", FIELD_FLAG},
    {"cpu", FIELD_OBJECT},
    {"cpu.shares", FIELD_COUNT},
    {"cpu.quota", FIELD_NUMBER},
    {"cpu.burst", FIELD_COUNT},
    {"cpu.period", FIELD_COUNT},
    {"cpu.realtimeRuntime", FIELD_NUMBER},
    {"cpu.realtimePeriod", FIELD_COUNT},
    {"cpu.cpus", FIELD_TEXT},
    {"cpu.mems", FIELD_TEXT},
    {"cpu.idle", FIELD_NUMBER},
    {"pids", FIELD_OBJECT},
    {"pids.limit", FIELD_NUMBER},
    {"blockIO", FIELD_OBJECT},
    {"blockIO.weight", FIELD_COUNT},
    {"blockIO.leafWeight", FIELD_COUNT},
    {"blockIO.weightDevice", FIELD_ARRAY},
    {"blockIO.throttleReadBpsDevice", FIELD_ARRAY},
    {"blockIO.throttleWriteBpsDevice", FIELD_ARRAY},
    {"blockIO.throttleReadIOPSDevice", FIELD_ARRAY},
    {"blockIO.throttleWriteIOPSDevice", FIELD_ARRAY},
    {"hugepageLimits", FIELD_ARRAY},
    {"network", FIELD_OBJECT},
    {"network.classID", FIELD_COUNT},
    {"network.priorities", FIELD_ARRAY},
    {"rdma", FIELD_MAP},
    {"unified", FIELD_MAP},
};

static bool fits(field_type_t type, const json_t *value)
{
    switch (type) {
    case FIELD_NUMBER:
        return json_is_integer(value);
    case FIELD_COUNT:
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case FIELD_FLAG:
        return json_is_boolean(value);
    case FIELD_TEXT:
        return json_is_string(value);
    case FIELD_ARRAY:
        return json_is_array(value);
    case FIELD_OBJECT:
    case FIELD_MAP:
        break;
    }
    return json_is_object(value);
}

static const char *name_of(field_type_t type)
{
    static const char *const names[] = {[FIELD_OBJECT] = "an object",
                                        [FIELD_NUMBER] = "a whole number",
                                        [FIELD_COUNT] = "a whole number, 0 or more",
                                        [FIELD_FLAG] = "true or false",
                                        [FIELD_TEXT] = "text",
                                        [FIELD_ARRAY] = "an array",
                                        [FIELD_MAP] = "an object"};
    return names[type];
}

static const field_row_t *find(const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (!strcmp(fields[i].path, path))
            return &fields[i];
    return NULL;
}

/* `above` is the object's own path, "" for the outermost. */
static status_code_t check_object(const json_t *object, const char *above, status_t *st)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        AUTO_FREE char *path = util_format("%s%s%s", above, *above ? "." : "", key);
        const field_row_t *row = find(path);
        if (!row)
            return status_set(st, STATUS_INVALID_ARGUMENT, "%s is no field of OCI's resources",
                              path);
        if (!fits(row->type, value))
            return status_set(st, STATUS_INVALID_ARGUMENT, "%s must be %s", path,
                              name_of(row->type));
        if (row->type == FIELD_OBJECT && check_object(value, path, st))
            return st->code;
    }
    return STATUS_OK;
}

status_code_t resources_check(const json_t *resources, status_t *st)
{
    if (!json_is_object(resources))
        return status_set(st, STATUS_INVALID_ARGUMENT, "resources must be an object");
    return check_object(resources, "", st);
}

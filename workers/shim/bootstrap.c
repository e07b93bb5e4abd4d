/* What the three generations of a shim's `start` take and print. */
#include "workers/shim/bootstrap.h"

#include "common/util.h"

#include "common/proto/bootstrap.pb-c.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define EXCERPT_MAX 80 /* bytes of rubbish shown in an error */

static status_code_t adopt(int version, const char *address, const char *protocol, bootstrap_t *ret,
                           status_t *st)
{
    if (version != 2 && version != 3)
        return status_set(st, STATUS_UNIMPLEMENTED, "shim speaks version %d of the Task service",
                          version);
    if (strcmp(protocol, "ttrpc"))
        return status_set(st, STATUS_UNIMPLEMENTED, "shim speaks %.20s, not ttrpc", protocol);
    if (!*address || strlen(address) >= sizeof ret->address)
        return status_set(st, STATUS_INTERNAL, "shim printed an address of %zu bytes",
                          strlen(address));
    ret->version = version;
    memcpy(ret->address, address, strlen(address) + 1);
    return STATUS_OK;
}

static status_code_t refuse(const uint8_t *data, size_t size, status_t *st)
{
    char excerpt[EXCERPT_MAX + 1];
    size_t shown = size < EXCERPT_MAX ? size : EXCERPT_MAX;
    for (size_t i = 0; i < shown; i++)
        excerpt[i] = isprint(data[i]) ? (char)data[i] : '?';
    excerpt[shown] = '\0';
    return status_set(st, STATUS_INTERNAL, "shim printed no address but %zu bytes: %s", size,
                      excerpt);
}

static status_code_t parse_json(const uint8_t *data, size_t size, bootstrap_t *ret, status_t *st)
{
    json_t *object = json_loadb((const char *)data, size, 0, NULL);
    const char *address = json_string_value(json_object_get(object, "address"));
    const char *protocol = json_string_value(json_object_get(object, "protocol"));
    json_int_t version = json_integer_value(json_object_get(object, "version"));
    if (!address)
        refuse(data, size, st);
    else
        adopt(version > INT_MAX || version < 0 ? INT_MAX : (int)version, address,
              protocol && *protocol ? protocol : "ttrpc", ret, st);
    bool failed = !address || st->code;
    json_decref(object);
    return failed ? st->code : STATUS_OK;
}

static status_code_t parse_protobuf(const uint8_t *data, size_t size, bootstrap_t *ret,
                                    status_t *st)
{
    Containerd__Runtime__Bootstrap__V1__BootstrapResult *result =
        containerd__runtime__bootstrap__v1__bootstrap_result__unpack(NULL, size, data);
    if (!result)
        return refuse(data, size, st);
    status_code_t code = adopt(result->version, result->address,
                               *result->protocol ? result->protocol : "ttrpc", ret, st);
    containerd__runtime__bootstrap__v1__bootstrap_result__free_unpacked(result, NULL);
    return code;
}

static status_code_t parse_plain(const uint8_t *data, size_t size, bootstrap_t *ret, status_t *st)
{
    char address[BOOTSTRAP_ADDRESS_MAX];
    while (size && isspace(data[size - 1]))
        size--;
    while (size && isspace(data[0])) {
        data++;
        size--;
    }
    bool fits = size > 0 && size < sizeof address;
    for (size_t i = 0; fits && i < size; i++)
        fits = isgraph(data[i]);
    /* unix:///path, or /name of an abstract socket. */
    if (!fits || (memchr(data, '/', size) == NULL))
        return refuse(data, size, st);
    memcpy(address, data, size);
    address[size] = '\0';
    return adopt(2, address, "ttrpc", ret, st);
}

status_code_t bootstrap_parse(const uint8_t *data, size_t size, bootstrap_t *ret, status_t *st)
{
    status_clear(st);
    if (size == 0)
        return status_set(st, STATUS_INTERNAL, "shim printed no address");
    if (data[0] == '{')
        return parse_json(data, size, ret, st);
    if (data[0] == 0x08) /* field 1, varint: the version of a BootstrapResult */
        return parse_protobuf(data, size, ret, st);
    return parse_plain(data, size, ret, st);
}

bool bootstrap_is_wanted(const char *stderr_text)
{
    return strcasestr(stderr_text, "deprecated") || strcasestr(stderr_text, "bootstrap");
}

static void pack(const ProtobufCMessage *message, msgpack_sbuffer *out)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    AUTO_FREE uint8_t *data = malloc(size + 1);
    if (!data)
        abort();
    protobuf_c_message_pack(message, data);
    msgpack_sbuffer_write(out, (const char *)data, size);
}

static Google__Protobuf__Any any_of(const bootstrap_params_t *params)
{
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    any.type_url = (char *)params->options_type;
    any.value =
        (ProtobufCBinaryData){.len = params->options_size, .data = (uint8_t *)params->options};
    return any;
}

void bootstrap_pack_any(const bootstrap_params_t *params, msgpack_sbuffer *out)
{
    if (!params->options_type)
        return;
    Google__Protobuf__Any any = any_of(params);
    pack(&any.base, out);
}

void bootstrap_pack_params(const bootstrap_params_t *params, msgpack_sbuffer *out)
{
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    Containerd__Runtime__Bootstrap__V1__Extension extension =
        CONTAINERD__RUNTIME__BOOTSTRAP__V1__EXTENSION__INIT;
    Containerd__Runtime__Bootstrap__V1__Extension *extensions[] = {&extension};
    Containerd__Runtime__Bootstrap__V1__BootstrapParams message =
        CONTAINERD__RUNTIME__BOOTSTRAP__V1__BOOTSTRAP_PARAMS__INIT;
    message.instance_id = (char *)params->id;
    message.namespace_ = (char *)params->ns;
    message.log_level = params->debug
                            ? CONTAINERD__RUNTIME__BOOTSTRAP__V1__LOG_LEVEL__LOG_LEVEL_DEBUG
                            : CONTAINERD__RUNTIME__BOOTSTRAP__V1__LOG_LEVEL__LOG_LEVEL_INFO;
    message.containerd_version = (char *)"shimd " SHIMD_VERSION;
    message.containerd_ttrpc_address = (char *)params->ttrpc_address;
    message.containerd_grpc_address = (char *)params->grpc_address;
    message.containerd_binary = (char *)params->binary;
    if (params->options_type) {
        any = any_of(params);
        extension.value = &any;
        message.extensions = extensions;
        message.n_extensions = 1;
    }
    pack(&message.base, out);
}

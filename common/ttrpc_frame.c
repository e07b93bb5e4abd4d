/* Frames of ttrpc: the header, and requests and responses packed behind it. */
#include "common/ttrpc_frame.h"

#include "common/proto/ttrpc.pb-c.h"
#include "common/util.h"

#include <czmq.h>
#include <endian.h>
#include <string.h>

#define NS_PER_MS 1000000

void ttrpc_header_encode(const ttrpc_header_t *header, uint8_t bytes[TTRPC_HEADER_SIZE])
{
    uint32_t size = htobe32(header->size);
    uint32_t stream = htobe32(header->stream);
    memcpy(bytes, &size, sizeof size);
    memcpy(bytes + 4, &stream, sizeof stream);
    bytes[8] = header->type;
    bytes[9] = header->flags;
}

ttrpc_header_t ttrpc_header_decode(const uint8_t bytes[TTRPC_HEADER_SIZE])
{
    uint32_t size, stream;
    memcpy(&size, bytes, sizeof size);
    memcpy(&stream, bytes + 4, sizeof stream);
    return (ttrpc_header_t){
        .size = be32toh(size), .stream = be32toh(stream), .type = bytes[8], .flags = bytes[9]};
}

static status_code_t check_size(size_t size, status_t *st)
{
    if (size > TTRPC_BODY_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "message is %zu bytes long, limit %d",
                          size, TTRPC_BODY_MAX);
    return STATUS_OK;
}

ttrpc_frame_t *ttrpc_frame_new(uint32_t stream, uint8_t type, const ProtobufCMessage *body,
                               status_t *st)
{
    size_t size = body ? protobuf_c_message_get_packed_size(body) : 0;
    if (check_size(size, st))
        return NULL;
    ttrpc_header_t header = {.size = (uint32_t)size, .stream = stream, .type = type};
    ttrpc_frame_t *self = zmalloc(sizeof *self + TTRPC_HEADER_SIZE + size);
    self->size = TTRPC_HEADER_SIZE + size;
    ttrpc_header_encode(&header, self->bytes);
    if (body)
        protobuf_c_message_pack(body, self->bytes + TTRPC_HEADER_SIZE);
    return self;
}

void ttrpc_frame_destroy(ttrpc_frame_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

ttrpc_frame_t *ttrpc_frame_request(uint32_t stream, const char *service, const char *method,
                                   const ProtobufCMessage *request, int64_t timeout_ms,
                                   const char *ns, status_t *st)
{
    size_t size = protobuf_c_message_get_packed_size(request);
    if (check_size(size, st))
        return NULL;
    AUTO_FREE uint8_t *payload = zmalloc(size + 1);
    protobuf_c_message_pack(request, payload);

    Ttrpc__KeyValue pair = TTRPC__KEY_VALUE__INIT;
    pair.key = (char *)TTRPC_NAMESPACE_KEY;
    pair.value = (char *)ns;
    Ttrpc__KeyValue *pairs[] = {&pair};
    Ttrpc__Request body = TTRPC__REQUEST__INIT;
    body.service = (char *)service;
    body.method = (char *)method;
    body.payload = (ProtobufCBinaryData){.data = payload, .len = size};
    body.timeout_nano = timeout_ms < INT64_MAX / NS_PER_MS ? timeout_ms * NS_PER_MS : INT64_MAX;
    body.n_metadata = ns ? 1 : 0;
    body.metadata = pairs;
    return ttrpc_frame_new(stream, TTRPC_TYPE_REQUEST, &body.base, st);
}

ttrpc_frame_t *ttrpc_frame_response(uint32_t stream, const status_t *outcome,
                                    const uint8_t *payload, size_t size, status_t *st)
{
    Ttrpc__Response body = TTRPC__RESPONSE__INIT;
    Ttrpc__Status status = TTRPC__STATUS__INIT;
    if (outcome->code) {
        status.code = (int32_t)outcome->code;
        status.message = (char *)outcome->text;
        body.status = &status;
    } else {
        body.payload = (ProtobufCBinaryData){.data = (uint8_t *)payload, .len = size};
    }
    return ttrpc_frame_new(stream, TTRPC_TYPE_RESPONSE, &body.base, st);
}

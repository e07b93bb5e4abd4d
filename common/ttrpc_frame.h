/* Frames of ttrpc, the protocol between shims and their manager: a header of ten bytes and a body,
 * as containerd's ttrpc/PROTOCOL.md lays down. */
#ifndef SHIMD_TTRPC_FRAME_H
#define SHIMD_TTRPC_FRAME_H

#include "common/status.h"

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#define TTRPC_HEADER_SIZE 10
#define TTRPC_BODY_MAX    (4 * 1024 * 1024) /* bytes; containerd's own limit */

enum {
    TTRPC_TYPE_REQUEST = 1,
    TTRPC_TYPE_RESPONSE = 2,
    TTRPC_TYPE_DATA = 3, /* of streams, which neither the Task nor the Events service has */
};

/* The metadata key that carries the namespace, lower-case on the wire. */
#define TTRPC_NAMESPACE_KEY "containerd-namespace-ttrpc"

typedef struct ttrpc_header {
    uint32_t size;   /* of the body, in bytes; as sent, possibly over TTRPC_BODY_MAX */
    uint32_t stream; /* chosen by the client: odd, and growing within a connection */
    uint8_t type;
    uint8_t flags; /* 0 for everything but streams */
} ttrpc_header_t;

void ttrpc_header_encode(const ttrpc_header_t *header, uint8_t bytes[TTRPC_HEADER_SIZE]);
ttrpc_header_t ttrpc_header_decode(const uint8_t bytes[TTRPC_HEADER_SIZE]);

/* Header and body, ready to be sent. */
typedef struct ttrpc_frame {
    size_t size;
    uint8_t bytes[];
} ttrpc_frame_t;

/* Packs `body` (NULL for none) into a fresh frame. NULL with RESOURCE_EXHAUSTED when it is larger
 * than TTRPC_BODY_MAX. */
ttrpc_frame_t *ttrpc_frame_new(uint32_t stream, uint8_t type, const ProtobufCMessage *body,
                               status_t *st);
void ttrpc_frame_destroy(ttrpc_frame_t **self);

/* A request frame. `ns` may be NULL; a `timeout_ms` of 0 is none. RESOURCE_EXHAUSTED as above. */
ttrpc_frame_t *ttrpc_frame_request(uint32_t stream, const char *service, const char *method,
                                   const ProtobufCMessage *request, int64_t timeout_ms,
                                   const char *ns, status_t *st);

/* A response frame: the status alone when it is not OK, else the payload. An empty success is a
 * frame without a body. */
ttrpc_frame_t *ttrpc_frame_response(uint32_t stream, const status_t *outcome,
                                    const uint8_t *payload, size_t size, status_t *st);

#endif

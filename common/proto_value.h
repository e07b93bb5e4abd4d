/* Encoded protobuf messages of containerd and its shims as msgpack maps, which clients can read
 * without the .proto files. */
#ifndef SHIMD_PROTO_VALUE_H
#define SHIMD_PROTO_VALUE_H

#include "common/status.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTO_VALUE_SIZE_MAX   (4 * 1024 * 1024)  /* bytes of a message: what a ttrpc frame holds */
#define PROTO_VALUE_MEMORY_MAX (64 * 1024 * 1024) /* bytes that decoding it may take */
#define PROTO_VALUE_DEPTH_MAX  8                  /* an Any in an Any in ...; deeper ones are raw */

/* Decodes `data` as the message `type_name` ("containerd.events.TaskExit", or a type URL that ends
 * in "/" and that) and appends one msgpack value to `packer`:
 *
 *   message                    map from the .proto's field names. Scalars are there always, with
 *                              proto3's default when the message does not have them; a sub-message
 *                              only when it is there
 *   repeated, map<>            array, map (the last of equal keys)
 *   string                     str, or bin when it is not UTF-8; ends at an embedded NUL
 *   bytes                      bin
 *   numbers, bool, enum        integer or float, boolean, integer
 *   google.protobuf.Timestamp  integer, nanoseconds since the epoch; 0 for all up to 1970, so for
 *                              Go's zero time in the year 1 too; the largest int64 for what is
 * later google.protobuf.Any        map: "type" (the URL), and "value" (decoded as here) when the
 * type is known and the bytes are sound, otherwise "raw" (bin)
 *
 * NOT_FOUND for a type that is not known; INVALID_ARGUMENT for more than PROTO_VALUE_SIZE_MAX bytes
 * or such that are no such message; nothing is appended then. */
status_code_t proto_value_pack(msgpack_packer *packer, const char *type_name, const uint8_t *data,
                               size_t size, status_t *st);

/* True when proto_value_pack knows the type. */
bool proto_value_is_known(const char *type_name);

#endif

/* What the three generations of a shim's `start` take on standard input and print: a plain address
 * (containerd up to 1.6, and runc's up to 1.7), a JSON object (1.7 to 2.2), or protobuf (from 2.3).
 */
#ifndef SHIMD_SHIM_BOOTSTRAP_H
#define SHIMD_SHIM_BOOTSTRAP_H

#include "common/status.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOOTSTRAP_ADDRESS_MAX 256 /* bytes; a socket path has 107 */

typedef struct bootstrap {
    int version; /* of the Task service: 2 or 3 */
    char address[BOOTSTRAP_ADDRESS_MAX];
} bootstrap_t;

/* Reads what `start` printed, which may be anything. UNIMPLEMENTED for a version or protocol we do
 * not speak, INTERNAL with an excerpt for rubbish. */
status_code_t bootstrap_parse(const uint8_t *data, size_t size, bootstrap_t *ret, status_t *st);

/* The generations differ in standard input. A bootstrapped shim says so when it is given the older
 * form, and refuses before it has done anything. */
bool bootstrap_is_wanted(const char *stderr_text);

typedef struct bootstrap_params {
    const char *id, *ns;
    const char *ttrpc_address, *grpc_address;
    const char *binary; /* of the manager */
    bool debug;
    const char *options_type; /* NULL for none */
    const uint8_t *options;
    size_t options_size;
} bootstrap_params_t;

/* Appends the protobuf BootstrapParams (from 2.3 on), or the Any with the options (before; nothing
 * when there are none). */
void bootstrap_pack_params(const bootstrap_params_t *params, msgpack_sbuffer *out);
void bootstrap_pack_any(const bootstrap_params_t *params, msgpack_sbuffer *out);

#endif

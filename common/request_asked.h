/* What a request asked for, in few words: for the journal of outcomes, which is read by people. */
#ifndef SHIMD_REQUEST_ASKED_H
#define SHIMD_REQUEST_ASKED_H

#include "common/message.h"

#define REQUEST_ASKED_TEXT_MAX 128 /* bytes; longer texts are left out */

/* The numbers, the flags that are set and the short texts of the struct of `id` by their names, but
 * for those that say whom it is about (`id`, `exec_id`). In the zone. */
msg_labels_t request_asked(msg_id_t id, const void *ask, msgpack_zone *zone);

#endif

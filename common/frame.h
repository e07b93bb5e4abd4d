/* Raw multipart messages on a ZeroMQ socket without zmsg's copies: the hot path of broker and link.
 */
#ifndef SHIMD_FRAME_H
#define SHIMD_FRAME_H

#include "common/message.h"

#include <zmq.h>

/* A message as it came: at most FRAME_MAX frames are kept, the rest of a longer one is read and
 * thrown away, and `count` then says how many there were. Frames are the holder's to close
 * (frame_set_close). */
#define FRAME_MAX 6
typedef struct frame_set {
    zmq_msg_t frames[FRAME_MAX];
    size_t count; /* frames the message had, possibly more than FRAME_MAX */
} frame_set_t;

/* Receives one whole message without waiting. False when there is none (or the socket is gone). */
bool frame_receive(void *socket, frame_set_t *set);
void frame_set_close(frame_set_t *set);
size_t frame_set_kept(const frame_set_t *set);

/* Sends a copy of `size` bytes as one frame. Never waits. 0, or -1 with errno. */
int frame_send(void *socket, const void *data, size_t size, bool more);

/* Moves `frame` out. Never waits. On -1 the frame is still the caller's. */
int frame_move(void *socket, zmq_msg_t *frame, bool more);

/* Puts an encoded struct into a fresh frame. */
void frame_encode(zmq_msg_t *frame, msg_id_t id, const void *value);

#endif

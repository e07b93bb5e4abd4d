/* Raw multipart messages on a ZeroMQ socket. */
#include "common/frame.h"

#include <stdlib.h>
#include <string.h>

bool frame_receive(void *socket, frame_set_t *set)
{
    zmq_msg_t surplus;
    bool more = true;
    for (set->count = 0; more; set->count++) {
        zmq_msg_t *frame = set->count < FRAME_MAX ? &set->frames[set->count] : &surplus;
        zmq_msg_init(frame);
        if (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(frame);
            frame_set_close(set);
            return false;
        }
        more = zmq_msg_more(frame);
        if (frame == &surplus)
            zmq_msg_close(frame);
    }
    return true;
}

size_t frame_set_kept(const frame_set_t *set)
{
    return set->count < FRAME_MAX ? set->count : FRAME_MAX;
}

void frame_set_close(frame_set_t *set)
{
    for (size_t i = 0; i < frame_set_kept(set); i++)
        zmq_msg_close(&set->frames[i]);
    set->count = 0;
}

int frame_send(void *socket, const void *data, size_t size, bool more)
{
    return zmq_send(socket, data, size, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0 ? -1 : 0;
}

int frame_move(void *socket, zmq_msg_t *frame, bool more)
{
    return zmq_msg_send(frame, socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0 ? -1 : 0;
}

static void free_buffer(void *data, void *hint)
{
    (void)hint;
    free(data);
}

/* Most frames are headers of some 100 bytes. They are encoded where the last one was and copied: a
 * buffer of its own for each, released by libzmq's thread, costs more than all the rest. */
#define COPY_MAX 4096 /* bytes */

void frame_encode(zmq_msg_t *frame, msg_id_t id, const void *value)
{
    static _Thread_local msgpack_sbuffer buffer;
    buffer.size = 0;
    msg_encode(id, value, &buffer);
    size_t size = buffer.size;
    int failed;
    if (size <= COPY_MAX) {
        failed = zmq_msg_init_size(frame, size);
        if (!failed)
            memcpy(zmq_msg_data(frame), buffer.data, size);
    } else {
        failed =
            zmq_msg_init_data(frame, msgpack_sbuffer_release(&buffer), size, free_buffer, NULL);
    }
    if (failed)
        abort();
}

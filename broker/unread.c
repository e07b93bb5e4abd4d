/* Answers that clients do not take. */
#include "broker/unread.h"

#include "common/util.h"

#include <czmq.h>
#include <stdatomic.h>

#define IDENTITY_MAX 255 /* bytes; ZeroMQ's */
#define SWEEP_MIN    64  /* peers, before those for whom nothing waits are looked for */

/* libzmq is done with a message in a thread of its own. */
typedef struct tally {
    atomic_size_t bytes;
    atomic_size_t holders; /* messages, and the table */
} tally_t;

/* What stands behind a message that is counted. */
typedef struct parcel {
    zmq_msg_t content;
    tally_t *peer, *all;
} parcel_t;

struct unread {
    const io_zmq_t *socket;
    zhashx_t *peers; /* tally_t by identity in hexadecimal */
    tally_t *all;
    size_t sweep_at; /* so many peers */
};

static tally_t *tally_new(void)
{
    tally_t *self = zmalloc(sizeof *self);
    atomic_init(&self->bytes, 0);
    atomic_init(&self->holders, 1);
    return self;
}

static void tally_release(tally_t *self)
{
    if (atomic_fetch_sub(&self->holders, 1) == 1)
        free(self);
}

static void tally_free(void **item)
{
    tally_release(*item);
    *item = NULL;
}

static void tally_add(tally_t *self, size_t size)
{
    atomic_fetch_add(&self->bytes, size);
    atomic_fetch_add(&self->holders, 1);
}

static void tally_subtract(tally_t *self, size_t size)
{
    atomic_fetch_sub(&self->bytes, size);
    tally_release(self);
}

unread_t *unread_new(const io_zmq_t *socket)
{
    unread_t *self = zmalloc(sizeof *self);
    *self = (unread_t){
        .socket = socket, .peers = zhashx_new(), .all = tally_new(), .sweep_at = SWEEP_MIN};
    zhashx_set_destructor(self->peers, tally_free);
    return self;
}

void unread_destroy(unread_t **self_p)
{
    unread_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->peers);
    tally_release(self->all);
    free(self);
    *self_p = NULL;
}

/* Peers that have gone are known by nothing else. */
static void sweep(unread_t *self)
{
    zlistx_t *idle = zlistx_new();
    for (tally_t *peer = zhashx_first(self->peers); peer; peer = zhashx_next(self->peers))
        if (atomic_load(&peer->bytes) == 0)
            zlistx_add_end(idle, util_strdup(zhashx_cursor(self->peers)));
    zlistx_set_destructor(idle, (zlistx_destructor_fn *)zstr_free);
    for (const char *key = zlistx_first(idle); key; key = zlistx_next(idle))
        zhashx_delete(self->peers, key);
    zlistx_destroy(&idle);
    self->sweep_at = 2 * zhashx_size(self->peers) + SWEEP_MIN;
}

static tally_t *find(const unread_t *self, zmq_msg_t *identity, char key[2 * IDENTITY_MAX + 1])
{
    util_hex(zmq_msg_data(identity), zmq_msg_size(identity), key);
    return zhashx_lookup(self->peers, key);
}

static tally_t *tally_of(unread_t *self, zmq_msg_t *identity)
{
    char key[2 * IDENTITY_MAX + 1];
    tally_t *peer = find(self, identity, key);
    if (peer)
        return peer;
    if (zhashx_size(self->peers) >= self->sweep_at)
        sweep(self);
    peer = tally_new();
    zhashx_insert(self->peers, key, peer);
    return peer;
}

static void parcel_free(void *data, void *hint)
{
    parcel_t *self = hint;
    (void)data;
    size_t size = zmq_msg_size(&self->content);
    zmq_msg_close(&self->content);
    tally_subtract(self->peer, size);
    tally_subtract(self->all, size);
    free(self);
}

void unread_count(unread_t *self, const io_zmq_t *socket, zmq_msg_t *identity, zmq_msg_t *body)
{
    size_t size = zmq_msg_size(body);
    if (socket != self->socket || size < UNREAD_SMALL)
        return;
    parcel_t *parcel = zmalloc(sizeof *parcel);
    *parcel = (parcel_t){.peer = tally_of(self, identity), .all = self->all};
    zmq_msg_init(&parcel->content);
    zmq_msg_move(&parcel->content, body);
    tally_add(parcel->peer, size);
    tally_add(parcel->all, size);
    zmq_msg_close(body);
    if (zmq_msg_init_data(body, zmq_msg_data(&parcel->content), size, parcel_free, parcel))
        abort();
}

status_code_t unread_check(unread_t *self, const io_zmq_t *socket, zmq_msg_t *identity, size_t size,
                           status_t *st)
{
    status_clear(st);
    size_t all = atomic_load(&self->all->bytes);
    if (socket != self->socket || all + size < UNREAD_PEER_MAX)
        return STATUS_OK;
    char key[2 * IDENTITY_MAX + 1];
    tally_t *peer = find(self, identity, key);
    size_t waits = peer ? atomic_load(&peer->bytes) : 0;
    if (waits + size > UNREAD_PEER_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED,
                          "broker: %zu bytes of answers wait for this client to read them", waits);
    if (all + size > UNREAD_ALL_MAX && waits + size > UNREAD_SHARE)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED,
                          "broker: %zu bytes of answers wait for clients to read them", all);
    return STATUS_OK;
}

/* Answers that clients have asked for and do not take: counted in bytes, so that one who never
 * reads is not answered without end. */
#ifndef SHIMD_BROKER_UNREAD_H
#define SHIMD_BROKER_UNREAD_H

#include "common/io_zmq.h"
#include "common/status.h"

#include <zmq.h>

typedef struct unread unread_t;

#define UNREAD_PEER_MAX ((size_t)32 << 20)  /* bytes that wait for one client */
#define UNREAD_ALL_MAX  ((size_t)256 << 20) /* and for all together */
#define UNREAD_SHARE    ((size_t)1 << 20)   /* for one, however much waits for all */
#define UNREAD_SMALL    1024 /* smaller ones are not counted: their number is limited as it is */

/* Of the peers of this socket, a ROUTER's, which stays the caller's. */
unread_t *unread_new(const io_zmq_t *socket);

/* Messages that still wait may outlive it. */
void unread_destroy(unread_t **self);

/* RESOURCE_EXHAUSTED when with an answer of that size too much would wait for the peer, or for all
 * and more than its share for the peer: who reads is not refused everything because others do not.
 * OK for another socket's peers. */
status_code_t unread_check(unread_t *self, const io_zmq_t *socket, zmq_msg_t *identity, size_t size,
                           status_t *st);

/* Counts an answer that is about to be sent, until it is with the kernel or dropped: `body` is
 * exchanged for a message of the same bytes. Does nothing for another socket's peers. */
void unread_count(unread_t *self, const io_zmq_t *socket, zmq_msg_t *identity, zmq_msg_t *body);

#endif

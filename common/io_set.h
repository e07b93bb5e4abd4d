/* The loop of a process: any number of plain descriptors (sockets, pipes, pidfds) watched through
 * one epoll descriptor, timers (common/io_timer.h) and ZeroMQ sockets (common/io_zmq.h). It runs by
 * itself, or nested in a zloop where a process has pollers and timers of one (the client). */
#ifndef SHIMD_IO_SET_H
#define SHIMD_IO_SET_H

#include <czmq.h>
#include <stdint.h>

typedef struct io_set io_set_t;

/* Called from the loop with the ready events (EPOLLIN, EPOLLOUT, EPOLLHUP, ...). May add, change
 * and remove any descriptor of the set, its own included. */
typedef void io_handler_t(void *arg, int fd, uint32_t events);

/* A set nested in `loop`, which must outlive it; NULL for none. Never NULL. */
io_set_t *io_set_new(zloop_t *loop);
void io_set_destroy(io_set_t **self);

/* Serves the set, and the zloop it is nested in, until a handler of the set calls io_set_stop. */
void io_set_run(io_set_t *self);
void io_set_stop(io_set_t *self);

/* Sleeps until something happens or a signal handler was called, and serves what is there. Not from
 * a handler of the set. */
void io_set_turn(io_set_t *self);

/* Watches `fd`, level-triggered, until io_set_remove. The descriptor stays the caller's, and must
 * be removed before it is closed. One watch per descriptor. Returns -1 with errno on failure
 * (EPERM for a regular file, ENOSPC, EEXIST). */
int io_set_add(io_set_t *self, int fd, uint32_t events, io_handler_t *handler, void *arg);

/* Changes the watched events of a descriptor that is in the set. */
void io_set_change(io_set_t *self, int fd, uint32_t events);

/* Stops watching; no call for `fd` comes after this, not even for events already collected. Does
 * nothing when `fd` is not in the set or negative. */
void io_set_remove(io_set_t *self, int fd);

#endif

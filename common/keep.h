/* Handing a copy of a descriptor to the keeper, which keeps it open when this process dies
 * (broker/supervisor/keeper.h). */
#ifndef SHIMD_KEEP_H
#define SHIMD_KEEP_H

#include <stdbool.h>

/* Sends a copy over the channel that SHIMD_KEEP_FD names. Does nothing without one; never blocks.
 * False when the channel is full for now. What fails otherwise is logged: then the descriptor ends
 * with the process. */
bool keep_descriptor(int fd);

/* A keeper says over each channel that it has it, also one that takes the place of a dead one: what
 * was sent before is to be sent again then. Reads all of its words off the channel; false when the
 * channel has closed. */
bool keep_read_word(int channel);
void keep_send_word(int channel);

/* Sends a copy over `channel`, without blocking. -1 with errno on failure. */
int keep_send(int channel, int fd);

/* The keeper's side: one descriptor, close-on-exec, off a channel that does not block. One that
 * this process or the machine has no room for is lost. */
typedef enum keep_result { KEEP_RECEIVED, KEEP_LOST, KEEP_NOTHING, KEEP_CLOSED } keep_result_t;
keep_result_t keep_receive(int channel, int *ret);

#endif

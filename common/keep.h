/* Handing a copy of a descriptor to the supervisor, which keeps it open when this process dies
 * (broker/supervisor/keeper.h). */
#ifndef SHIMD_KEEP_H
#define SHIMD_KEEP_H

/* Sends a copy over the channel that SHIMD_KEEP_FD names. Does nothing without one; never blocks. A
 * copy that cannot be sent is logged: then the descriptor ends with the process. */
void keep_descriptor(int fd);

/* The supervisor's side: one descriptor, close-on-exec, off a channel that does not block. */
typedef enum keep_result { KEEP_RECEIVED, KEEP_NOTHING, KEEP_CLOSED } keep_result_t;
keep_result_t keep_receive(int channel, int *ret);

#endif

/* Signals that arrive while a container is attached, as events of the loop. */
#ifndef SHIMD_SIGNALS_H
#define SHIMD_SIGNALS_H

#include <czmq.h>

typedef struct signals signals_t;

/* Called from the loop. */
typedef void signals_handler_t(void *arg, int number);

/* From here on signals no longer act on this process but go to `handler`: all but those that say
 * something about this process alone (crashes, children, pipes, job control, SIGURG). */
signals_t *signals_new(zloop_t *loop, signals_handler_t *handler, void *arg);

/* Signals act as before again. */
void signals_destroy(signals_t **self);

/* True for the signals by which people and supervisors end a program: HUP, INT, QUIT, TERM. */
bool signals_is_ending(int number);

#endif

/* A line on standard error while something takes long, for people who watch a terminal. */
#ifndef SHIMD_PROGRESS_H
#define SHIMD_PROGRESS_H

/* From a second on, and each second, "shimctl: WHAT: 3 s" stands on standard error, until
 * progress_end takes it away. Nothing happens where standard error is no terminal. `what` must live
 * until then. One at a time: a second begin inside the first is ignored, with its end. */
typedef struct progress progress_t;
progress_t *progress_begin(const char *what);
void progress_end(progress_t **self);

#endif

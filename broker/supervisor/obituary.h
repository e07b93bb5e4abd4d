/* How a process ended, in a sentence for people. */
#ifndef SHIMD_OBITUARY_H
#define SHIMD_OBITUARY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define OBITUARY_SIZE 256

typedef struct obituary {
    pid_t pid;
    int wait_status;   /* as wait(2) gives it */
    int exec_error;    /* errno when it could not be executed, else 0 */
    int64_t uptime_ms; /* since it was spawned */
    int64_t ready_ms;  /* since it was ready; -1 when it never was */
} obituary_t;

/* "process 812 killed by SIGSEGV (core dumped) after 3.204 s, ready for 3.190 s",
 * "process 812 exited with 1 after 0.012 s, before it was ready". */
void obituary_write(const obituary_t *self, char text[OBITUARY_SIZE]);

/* The first part alone, for any wait status: "exited with 1", "killed by SIGKILL". */
void obituary_cause(int wait_status, char *text, size_t size);

#endif

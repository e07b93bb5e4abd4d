/* The pid files of a bundle, and killing what they name without ever hitting a stranger. */
#ifndef SHIMD_FAKE_PID_FILE_H
#define SHIMD_FAKE_PID_FILE_H

#include <sys/types.h>

/* BUNDLE/NAME.pid, as the real shim; and beside it the start time of the process. */
void pid_file_write(const char *bundle, const char *name, pid_t pid);

/* The pid in it, 0 when there is none. */
pid_t pid_file_read(const char *bundle, const char *name);

/* Kills the process group that the file names, if it is still the one that was written down, and
 * waits until it is gone. */
void pid_file_kill(const char *bundle, const char *name);

#endif

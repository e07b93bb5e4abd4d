/* Files that tell other programs a process id. */
#ifndef SHIMD_PID_FILE_H
#define SHIMD_PID_FILE_H

#include "common/status.h"

#include <stdint.h>

/* Writes the number into `path` at one stroke: a reader sees the old file or the whole new one. */
status_code_t pid_file_write(const char *path, uint32_t pid, status_t *st);

#endif

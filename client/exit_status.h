/* Exit statuses of shimctl: one for each class of failure, stable for scripts. */
#ifndef SHIMD_EXIT_STATUS_H
#define SHIMD_EXIT_STATUS_H

#include "common/status.h"

#define EXIT_STATUS_OTHER     1
#define EXIT_STATUS_USAGE     2
#define EXIT_STATUS_UNHEALTHY 14 /* doctor has left something that is wrong */

/* 0 for STATUS_OK. */
int exit_status_of(status_code_t code);

/* The table as help and the manual page show it, a line each. */
const char *exit_status_text(void);

#endif

/* The terminal on standard input while a container's terminal is shown on it. */
#ifndef SHIMD_CONSOLE_H
#define SHIMD_CONSOLE_H

#include "common/status.h"

#include <stdint.h>

/* True when standard input is a terminal. */
bool console_is_there(void);

/* True when standard output or error is a terminal whose other end was closed. */
bool console_is_closed(void);

/* Raw mode: every key goes to the container. It is undone by console_restore, at exit, and when
 * this program aborts or crashes. */
status_code_t console_raw(status_t *st);

/* Puts the terminal back as it was found. Does nothing when it was not changed. */
void console_restore(void);

/* Columns and rows; false when the terminal does not tell. */
bool console_size(uint32_t *width, uint32_t *height);

#endif

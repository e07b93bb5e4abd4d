/* Text that comes from outside: is it UTF-8, and making it so. */
#ifndef SHIMD_UTF8_H
#define SHIMD_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length in bytes of the UTF-8 sequence (Unicode 15, table 3-7) at the start of `text`, which
 * is 1 to 4; 0 when there is none, or `size` is 0. */
size_t utf8_sequence(const char *text, size_t size);

/* True when all of `text` is UTF-8; of no bytes too. NUL counts as a character. */
bool utf8_is_valid(const char *text, size_t size);

/* Puts '?' for every byte of the NUL-terminated `text` that is not part of a sequence. */
void utf8_repair(char *text);

#endif

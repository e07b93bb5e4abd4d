/* Texts that come from the command line: checked before they enter a spec, quoted when refused. */
#ifndef SHIMD_OCI_TEXT_H
#define SHIMD_OCI_TEXT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/* Bytes without the terminator. The kernel takes no longer argument or variable than 128 KiB with
 * its terminator (MAX_ARG_STRLEN), and no longer path than 4096 (PATH_MAX). */
#define OCI_TEXT_SIZE_MAX (128 * 1024 - 1)
#define OCI_TEXT_PATH_MAX 4095
/* How often one flag may be given. */
#define OCI_TEXT_LIST_MAX 1024

/* Writes "FLAG VALUE: reason" as INVALID_ARGUMENT and returns that. A long value is shortened, and
 * bytes that would spoil a line or are no UTF-8 are shown as '?'. */
status_code_t oci_text_refuse(status_t *st, const char *flag, const char *value,
                              const char *reason_format, ...) __attribute__((format(printf, 4, 5)));

/* Refuses a value of more than `size_max` bytes or not in UTF-8. */
status_code_t oci_text_check(const char *flag, const char *value, size_t size_max, status_t *st);

/* As oci_text_check, and the value must be an absolute path. */
status_code_t oci_text_check_path(const char *flag, const char *value, status_t *st);

/* Checks each of a NULL-terminated list (NULL is an empty one), and that it has at most
 * OCI_TEXT_LIST_MAX values. */
status_code_t oci_text_check_list(const char *flag, char *const *values, size_t size_max,
                                  status_t *st);

/* A non-empty run of decimal digits, and nothing else. */
bool oci_text_is_number(const char *text);

/* Reads such a run. Returns 0, or -1 when it is none or is above `max`. */
int oci_text_to_number(const char *text, uint64_t max, uint64_t *ret);

#endif

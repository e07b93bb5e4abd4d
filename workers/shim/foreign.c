/* What shims and OCI runtimes say in words only. */
#include "workers/shim/foreign.h"

#include <string.h>

/* strerror of Go, Rust and the C library, in lower case or not. */
static const char *const full[] = {"no space left on device", "disk quota exceeded"};

void foreign_fail(request_t *request, const status_t *st)
{
    status_t told = *st;
    for (size_t i = 0; i < sizeof full / sizeof *full; i++)
        if (st->code == STATUS_UNKNOWN && strcasestr(st->text, full[i]))
            told.code = STATUS_RESOURCE_EXHAUSTED;
    request_fail(request, &told);
}

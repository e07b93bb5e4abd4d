/* Failpoints. */
#include "common/failpoint.h"

#include "common/config.h"
#include "common/failpoint_term.h"
#include "common/util.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>

bool failpoint_is_on;

status_code_t failpoint_init(const cluster_t *cluster, const char *process, status_t *st)
{
    zconfig_t *root;
    if (config_load(cluster->config, false, &root, st))
        return st->code;
    bool is_on = root && streq(zconfig_get(root, "failpoints", "off"), "on");
    zconfig_destroy(&root);
    AUTO_FREE char *directory = util_format("%s/" FAILPOINT_DIR, cluster->run_dir);
    if (is_on && mkdir(directory, 0700) && errno != EEXIST)
        return status_errno(st, errno, "make %s", directory);
    failpoint_inherit(is_on ? directory : NULL, process);
    return STATUS_OK;
}

void failpoint_inherit(const char *directory, const char *process)
{
    failpoint_is_on = directory != NULL;
    failpoint_enable(directory, process);
}

status_code_t failpoint_hit(status_t *st, const char *format, ...)
{
    failpoint_term_t term;
    va_list args;
    va_start(args, format);
    bool is_met = failpoint_choose(&term, format, args);
    va_end(args);
    if (!is_met)
        return STATUS_OK;
    log_warn("failpoint %s: %s(%s)", term.name, term.kind, term.argument);
    const char *error = failpoint_act(&term);
    return error ? status_set(st, STATUS_UNKNOWN, "failpoint %s: %s", term.name, error) : STATUS_OK;
}

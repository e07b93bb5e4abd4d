/* The log of a detached process. */
#include "client/log_uri.h"

#include "client/arguments.h"
#include "common/util.h"
#include "logger/log_dir.h"
#include "logger/log_settings.h"

#include <inttypes.h>

#define PROGRAM "/shimd-log"
#define URI_MAX 4095 /* what task.create takes for a stream */

/* Limits ----------------------------------------------------------------------------------------
 */

static const char *value_of(const char *word, const char *key)
{
    size_t size = strlen(key);
    return !strncmp(word, key, size) && word[size] == '=' ? word + size + 1 : NULL;
}

status_code_t log_uri_limits(char *const *words, log_uri_limits_t *ret, status_t *st)
{
    *ret = (log_uri_limits_t){0};
    status_clear(st);
    for (; words && *words && !st->code; words++) {
        const char *size = value_of(*words, LOG_SETTING_MAX_SIZE);
        const char *files = value_of(*words, LOG_SETTING_MAX_FILES);
        if (size)
            arguments_bytes("--log-opt max-size", size, LOG_STORE_SIZE_MIN, INT64_MAX,
                            &ret->max_size, st);
        else if (files)
            arguments_bytes("--log-opt max-file", files, 1, LOG_STORE_FILES_MAX, &ret->max_files,
                            st);
        else
            status_set(st, STATUS_INVALID_ARGUMENT,
                       "--log-opt %s: neither max-size=BYTES nor max-file=COUNT", *words);
    }
    return st->code;
}

/* URI -------------------------------------------------------------------------------------------
 */

/* All but RFC 3986's unreserved characters and slashes as %XX. The caller frees. */
static char *percent_encode(const char *text)
{
    char *encoded = zmalloc(3 * strlen(text) + 1);
    char *at = encoded;
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x80 && (isalnum(byte) || strchr("-._~/", byte)))
            *at++ = (char)byte;
        else
            at += sprintf(at, "%%%02X", byte);
    }
    return encoded;
}

char *log_uri_dir(const log_uri_subject_t *subject, status_t *st)
{
    if (!subject->cluster->root_dir || !subject->cluster->libexec_dir) {
        status_set(st, STATUS_FAILED_PRECONDITION,
                   "the cluster does not say where its logs are: it is of an older version");
        return NULL;
    }
    char *dir = log_dir_path(subject->cluster->root_dir, subject->ns, subject->id,
                             subject->created_at, subject->exec_id);
    if (!dir)
        abort();
    return dir;
}

char *log_uri_new(const log_uri_subject_t *subject, const log_uri_limits_t *limits, bool terminal,
                  status_t *st)
{
    AUTO_FREE char *dir = log_uri_dir(subject, st);
    if (!dir)
        return NULL;
    if (strpbrk(subject->cluster->libexec_dir, "?#%")) {
        status_set(st, STATUS_FAILED_PRECONDITION,
                   "%s" PROGRAM ": ?, # and %% in the path of a log writer mean something else to "
                   "shims",
                   subject->cluster->libexec_dir);
        return NULL;
    }
    AUTO_FREE char *encoded = percent_encode(dir);
    uint64_t max_size = limits->max_size ? limits->max_size : LOG_STORE_SIZE_DEFAULT;
    uint64_t max_files = limits->max_files ? limits->max_files : LOG_STORE_FILES_DEFAULT;
    char *uri = util_format("binary://%s" PROGRAM "?" LOG_SETTING_DIR "=%s&" LOG_SETTING_MAX_SIZE
                            "=%" PRIu64 "&" LOG_SETTING_MAX_FILES "=%" PRIu64
                            "&" LOG_SETTING_TERMINAL "=%d",
                            subject->cluster->libexec_dir, encoded, max_size, max_files, terminal);
    if (strlen(uri) <= URI_MAX)
        return uri;
    status_set(st, STATUS_INVALID_ARGUMENT,
               "the URI of the log of %s is %zu bytes long, limit %d: the cluster's root directory "
               "has too long a path",
               subject->id, strlen(uri), URI_MAX);
    free(uri);
    return NULL;
}

bool log_uri_is_ours(const char *stream)
{
    return stream && !strncmp(stream, "binary://", 9) && strstr(stream, PROGRAM "?");
}

/* The intent and endpoint files of a bundle. */
#include "workers/shim/record.h"

#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sha256.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define INTENT      "intent.json"
#define BINARY_PATH "shim-binary-path"
#define SOCKET_DIR  "/run/containerd/s"

static status_code_t write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, text, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return STATUS_INTERNAL;
        text += written;
        size -= (size_t)written;
    }
    return STATUS_OK;
}

static status_code_t write_file(const char *bundle, const char *name, const char *text,
                                status_t *st)
{
    char hidden[NAME_MAX];
    snprintf(hidden, sizeof hidden, ".%s.new", name);
    AUTO_CLOSE int dir = open(bundle, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return status_errno(st, errno, "write %s: open %s", name, bundle);
    AUTO_CLOSE int fd =
        openat(dir, hidden, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return status_errno(st, errno, "write %s", name);
    if (write_all(fd, text, strlen(text)) || renameat(dir, hidden, dir, name)) {
        int error = errno;
        (void)unlinkat(dir, hidden, 0); /* the bundle goes anyway */
        return status_errno(st, error, "write %s", name);
    }
    return STATUS_OK;
}

status_code_t record_write_json(const char *bundle, const char *name, json_t *object, status_t *st)
{
    AUTO_FREE char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (!text)
        return status_set(st, STATUS_INTERNAL, "write %s: it does not go into JSON", name);
    return write_file(bundle, name, text, st);
}

/* The files are small and regular; anything else in their place is damage. */
static status_code_t read_file(const char *bundle, const char *name, char **ret, status_t *st)
{
    AUTO_CLOSE int dir = open(bundle, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_CLOSE int fd =
        dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return status_set(st, STATUS_NOT_FOUND, "%s: there is none", name);
    struct stat info;
    if (fd < 0 || fstat(fd, &info))
        return status_set(st, STATUS_DATA_LOSS, "read %s: %s", name, strerror(errno));
    if (!S_ISREG(info.st_mode) || info.st_size > (off_t)RECORD_FILE_MAX)
        return status_set(st, STATUS_DATA_LOSS, "read %s: not a file of at most %u bytes", name,
                          RECORD_FILE_MAX);
    char *text = calloc(1, RECORD_FILE_MAX + 1);
    if (!text)
        abort();
    if (read(fd, text, RECORD_FILE_MAX) < 0) {
        free(text);
        return status_set(st, STATUS_DATA_LOSS, "read %s: %s", name, strerror(errno));
    }
    *ret = text;
    return STATUS_OK;
}

status_code_t record_read_json(const char *bundle, const char *name, json_t **ret, status_t *st)
{
    AUTO_FREE char *text = NULL;
    json_error_t error;
    if (read_file(bundle, name, &text, st))
        return st->code;
    *ret = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(*ret)) {
        json_decref(*ret);
        return status_set(st, STATUS_DATA_LOSS, "read %s: not a JSON object", name);
    }
    return STATUS_OK;
}

static bool copy_text(const json_t *object, const char *key, char *ret, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text || strlen(text) >= size)
        return false;
    memcpy(ret, text, strlen(text) + 1);
    return true;
}

status_code_t record_write_intent(const char *bundle, const intent_t *intent, status_t *st)
{
    char request[2 * MSG_UUID_SIZE + 1];
    util_hex(intent->request.bytes, MSG_UUID_SIZE, request);
    return record_write_json(bundle, INTENT,
                             json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "request", request,
                                       "runtime", intent->runtime, "path", intent->path, "address",
                                       intent->address, "group", intent->group, "kill_on_shim_loss",
                                       intent->on_shim_loss == SHIM_LOSS_KILL),
                             st);
}

bool record_parse_request(const json_t *object, msg_uuid_t *ret)
{
    return record_parse_id(object, "request", ret);
}

bool record_parse_id(const json_t *object, const char *key, msg_uuid_t *ret)
{
    char hex[2 * MSG_UUID_SIZE + 1] = "";
    if (!copy_text(object, key, hex, sizeof hex))
        return false;
    for (size_t i = 0; i < MSG_UUID_SIZE; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            return false;
        ret->bytes[i] = (uint8_t)byte;
    }
    return true;
}

void record_remove(const char *bundle, const char *name)
{
    AUTO_CLOSE int dir = open(bundle, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0)
        (void)unlinkat(dir, name, 0); /* whoever finds it again removes it */
}

status_code_t record_read_intent(const char *bundle, intent_t *ret, status_t *st)
{
    json_t *object = NULL;
    if (record_read_json(bundle, INTENT, &object, st))
        return st->code;
    bool whole = record_parse_request(object, &ret->request) &&
                 copy_text(object, "runtime", ret->runtime, sizeof ret->runtime) &&
                 copy_text(object, "path", ret->path, sizeof ret->path) &&
                 copy_text(object, "address", ret->address, sizeof ret->address) &&
                 copy_text(object, "group", ret->group, sizeof ret->group);
    ret->on_shim_loss = json_is_true(json_object_get(object, "kill_on_shim_loss")) ? SHIM_LOSS_KILL
                                                                                   : SHIM_LOSS_KEEP;
    json_decref(object);
    if (!whole)
        return status_set(st, STATUS_DATA_LOSS, "read " INTENT ": a field is missing or too long");
    return STATUS_OK;
}

status_code_t record_read_path(const char *bundle, char path[PATH_MAX], status_t *st)
{
    AUTO_FREE char *text = NULL;
    if (read_file(bundle, BINARY_PATH, &text, st))
        return st->code;
    if (text[0] != '/' || strlen(text) >= PATH_MAX)
        return status_set(st, STATUS_DATA_LOSS, "read " BINARY_PATH ": not an absolute path");
    memcpy(path, text, strlen(text) + 1);
    return STATUS_OK;
}

int64_t record_intent_time(const char *bundle)
{
    struct stat info;
    AUTO_CLOSE int dir = open(bundle, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || fstatat(dir, INTENT, &info, AT_SYMLINK_NOFOLLOW))
        return 0;
    return info.st_mtim.tv_sec * (int64_t)1000000000 + info.st_mtim.tv_nsec;
}

status_code_t record_write_endpoint(const char *bundle, const intent_t *intent,
                                    const endpoint_t *endpoint, status_t *st)
{
    if (write_file(bundle, BINARY_PATH, intent->path, st))
        return st->code;
    return record_write_json(bundle, "bootstrap.json",
                             json_pack("{s:i, s:s, s:s, s:I, s:I}", "version", endpoint->version,
                                       "address", endpoint->address, "protocol", "ttrpc",
                                       "shim_pid", (json_int_t)endpoint->shim_pid, "shim_start",
                                       (json_int_t)endpoint->shim_start),
                             st);
}

static status_code_t read_address(const char *bundle, endpoint_t *ret, status_t *st)
{
    AUTO_FREE char *text = NULL;
    if (read_file(bundle, "address", &text, st))
        return st->code;
    text[strcspn(text, "\r\n")] = '\0';
    if (!*text || strlen(text) >= sizeof ret->address)
        return status_set(st, STATUS_DATA_LOSS, "read address: empty or too long");
    *ret = (endpoint_t){.version = 2};
    memcpy(ret->address, text, strlen(text) + 1);
    return STATUS_OK;
}

status_code_t record_read_endpoint(const char *bundle, endpoint_t *ret, status_t *st)
{
    json_t *object = NULL;
    status_code_t code = record_read_json(bundle, "bootstrap.json", &object, st);
    if (code == STATUS_NOT_FOUND)
        return read_address(bundle, ret, st);
    if (code)
        return code;
    json_int_t version = json_integer_value(json_object_get(object, "version"));
    json_int_t pid = json_integer_value(json_object_get(object, "shim_pid"));
    json_int_t start = json_integer_value(json_object_get(object, "shim_start"));
    bool whole = copy_text(object, "address", ret->address, sizeof ret->address) &&
                 (version == 2 || version == 3) && pid >= 0 && pid <= INT32_MAX && start >= 0;
    json_decref(object);
    if (!whole)
        return status_set(st, STATUS_DATA_LOSS, "read bootstrap.json: a field is missing or wrong");
    ret->version = (int)version;
    ret->shim_pid = (uint32_t)pid;
    ret->shim_start = (uint64_t)start;
    return STATUS_OK;
}

void record_socket_address(const char *address, const char *ns, const char *group, char *ret,
                           size_t size)
{
    char digest[SHA256_DIGEST_STRING_LENGTH];
    AUTO_FREE char *path = util_format("%s/%s/%s", address, ns, group);
    SHA256Data((const uint8_t *)path, strlen(path), digest);
    snprintf(ret, size, "unix://" SOCKET_DIR "/%s", digest);
}

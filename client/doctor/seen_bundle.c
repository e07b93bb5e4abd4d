/* What the files of a bundle say. */
#include "client/doctor/seen.h"

#include "workers/bundle/bundle_dir.h"
#include "workers/bundle/bundle_store.h"
#include "workers/shim/init_record.h"

#include <fcntl.h>

bool seen_request_of(const char *dir, msg_uuid_t *ret)
{
    json_t *object = NULL;
    status_t ignored;
    if (record_read_json(dir, "intent.json", &object, &ignored))
        return false;
    bool found = record_parse_request(object, ret);
    json_decref(object);
    return found && msg_uuid_is_set(ret);
}

static void read_incarnation(int fd, char ret[UTIL_UUID_SIZE])
{
    char text[UTIL_UUID_SIZE + 2];
    ret[0] = '\0';
    if (bundle_dir_read(fd, BUNDLE_STORE_INCARNATION, text, sizeof text) < 0)
        return;
    text[strcspn(text, "\n")] = '\0';
    if (bundle_dir_is_uuid(text))
        snprintf(ret, UTIL_UUID_SIZE, "%.36s", text);
}

void seen_bundle_read(seen_t *row)
{
    status_t ignored;
    init_record_t init;
    seen_bundle_t *bundle = zmalloc(sizeof *bundle);
    row->bundle = bundle;
    AUTO_CLOSE int fd =
        open(row->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    read_incarnation(fd, bundle->incarnation);
    bundle->has_config = bundle_dir_file_size(fd, BUNDLE_STORE_CONFIG) > 0;
    bundle->has_work = bundle_dir_has(fd, BUNDLE_STORE_WORK);
    bundle->has_intent = !record_read_intent(row->path, &bundle->intent, &ignored);
    bundle->has_endpoint = !record_read_endpoint(row->path, &bundle->endpoint, &ignored);
    if (init_record_read(row->path, &init))
        bundle->init_pid = init.pid;
    row->has_request = seen_request_of(row->path, &row->request);
}

/* The cluster's directories: bundles, work directories, what was set aside, runc's state, fifos. */
#include "client/doctor/seen.h"

#include "workers/bundle/bundle_dir.h"
#include "workers/bundle/bundle_store.h"

#include <fcntl.h>

#define STATE_FILE "state.json"
#define STATE_MAX  (1u << 20) /* bytes; runc's are some 8 k */
#define REASON_MAX 1024

typedef void each_t(machine_t *self, const char *ns, const char *dir, const struct dirent *entry);

static void each_entry(machine_t *self, const char *ns, const char *dir, each_t *each)
{
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : bundle_dir_list(fd);
    if (!stream)
        return;
    for (struct dirent *entry; (entry = bundle_dir_next(stream));)
        each(self, ns, dir, entry);
    closedir(stream);
}

static bool is_ns(const struct dirent *entry)
{
    return entry->d_type == DT_DIR && msg_is_identifier(entry->d_name, strlen(entry->d_name));
}

static seen_t *add(machine_t *self, seen_kind_t kind, const char *ns, const char *id,
                   const char *dir, const char *name)
{
    seen_t *row = machine_add(self, kind, ns, id, util_format("%s/%s", dir, name));
    row->mark = seen_mark(row->path);
    return row;
}

/* RUN/task, ROOT/task ----------------------------------------------------------------------------
 */

/* ".ID.new-UUID" */
static void add_hidden(machine_t *self, const char *ns, const char *dir, const char *name)
{
    char id[SEEN_NAME_SIZE];
    snprintf(id, sizeof id, "%s", name + 1);
    char *kind = strrchr(id, '.');
    if (kind)
        *kind = '\0';
    seen_t *row = add(self, SEEN_HIDDEN, ns, id, dir, name);
    row->has_request = seen_request_of(row->path, &row->request);
}

static void add_either(machine_t *self, const char *ns, const char *dir, const struct dirent *entry,
                       seen_kind_t kind)
{
    const char *name = entry->d_name;
    bool is_dir = entry->d_type == DT_DIR;
    if (is_dir &&
        (bundle_dir_is_hidden(name, BUNDLE_DIR_NEW) || bundle_dir_is_hidden(name, BUNDLE_DIR_DEL)))
        add_hidden(self, ns, dir, name);
    else if (is_dir && msg_is_identifier(name, strlen(name)))
        add(self, kind, ns, name, dir, name);
    else
        add(self, SEEN_FOREIGN, ns, "", dir, name);
}

static void add_bundle(machine_t *self, const char *ns, const char *dir, const struct dirent *entry)
{
    size_t before = zlistx_size(self->rows[SEEN_BUNDLE]);
    add_either(self, ns, dir, entry, SEEN_BUNDLE);
    if (zlistx_size(self->rows[SEEN_BUNDLE]) > before)
        seen_bundle_read(zlistx_last(self->rows[SEEN_BUNDLE]));
}

static void add_work(machine_t *self, const char *ns, const char *dir, const struct dirent *entry)
{
    add_either(self, ns, dir, entry, SEEN_WORK);
}

static void look_at_ns(machine_t *self, const char *dir, const struct dirent *entry, each_t *each)
{
    if (!is_ns(entry)) {
        add(self, SEEN_FOREIGN, "", "", dir, entry->d_name);
        return;
    }
    AUTO_FREE char *path = util_format("%s/%s", dir, entry->d_name);
    each_entry(self, entry->d_name, path, each);
}

static void look_at_run_ns(machine_t *self, const char *ns, const char *dir,
                           const struct dirent *entry)
{
    (void)ns;
    look_at_ns(self, dir, entry, add_bundle);
}

static void look_at_root_ns(machine_t *self, const char *ns, const char *dir,
                            const struct dirent *entry)
{
    (void)ns;
    look_at_ns(self, dir, entry, add_work);
}

/* quarantine -------------------------------------------------------------------------------------
 */

static bool is_why(const char *name)
{
    size_t size = strlen(name), end = strlen(BUNDLE_STORE_WHY);
    return size > end && !strcmp(name + size - end, BUNDLE_STORE_WHY);
}

/* NAME.MS is of NAME; a reason without its directory is a row of its own. */
static void add_quarantined(machine_t *self, const char *ns, const char *dir,
                            const struct dirent *entry)
{
    char id[SEEN_NAME_SIZE], why[REASON_MAX];
    snprintf(id, sizeof id, "%s", entry->d_name);
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (is_why(entry->d_name)) {
        id[strlen(id) - strlen(BUNDLE_STORE_WHY)] = '\0';
        if (bundle_dir_has(fd, id))
            return;
    }
    AUTO_FREE char *reason = util_format("%s" BUNDLE_STORE_WHY, id);
    char *time = strrchr(id, '.');
    if (time)
        *time = '\0';
    seen_t *row = add(self, SEEN_QUARANTINED, ns, id, dir, entry->d_name);
    if (bundle_dir_read(fd, reason, why, sizeof why) > 0)
        row->note = util_strdup(why);
    row->has_request = seen_request_of(row->path, &row->request);
}

static void look_at_quarantine_ns(machine_t *self, const char *ns, const char *dir,
                                  const struct dirent *entry)
{
    (void)ns;
    AUTO_FREE char *path = util_format("%s/%s", dir, entry->d_name);
    if (entry->d_type == DT_DIR)
        each_entry(self, entry->d_name, path, add_quarantined);
}

/* runc -------------------------------------------------------------------------------------------
 */

/* The paths below the hierarchies' mount points, a line each. */
static char *cgroups_of(const json_t *state)
{
    char *lines = util_strdup("");
    const char *controller;
    json_t *value;
    json_object_foreach(json_object_get(state, "cgroup_paths"), controller, value)
    {
        char *longer = util_format("%s%s\n", lines, json_string_value(value));
        free(lines);
        lines = longer;
    }
    return lines;
}

static void add_runc(machine_t *self, const char *ns, const char *dir, const struct dirent *entry)
{
    json_error_t error;
    if (entry->d_type != DT_DIR)
        return;
    seen_t *row = add(self, SEEN_RUNC, ns, entry->d_name, dir, entry->d_name);
    AUTO_CLOSE int fd = open(row->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_FREE char *text = zmalloc(STATE_MAX);
    if (fd < 0 || bundle_dir_read(fd, STATE_FILE, text, STATE_MAX) < 0)
        return;
    json_t *state = json_loads(text, 0, &error);
    if (!state)
        return;
    row->pid = (pid_t)json_integer_value(json_object_get(state, "init_process_pid"));
    row->start = (uint64_t)json_integer_value(json_object_get(state, "init_process_start"));
    row->note = cgroups_of(state);
    json_decref(state);
}

static void look_at_runc_ns(machine_t *self, const char *ns, const char *dir,
                            const struct dirent *entry)
{
    (void)ns;
    AUTO_FREE char *path = util_format("%s/%s", dir, entry->d_name);
    if (is_ns(entry))
        each_entry(self, entry->d_name, path, add_runc);
}

static void add_fifo(machine_t *self, const char *ns, const char *dir, const struct dirent *entry)
{
    add(self, SEEN_FIFO, ns, "", dir, entry->d_name);
}

/* ------------------------------------------------------------------------------------------------
 */

void seen_directories(machine_t *self)
{
    const struct {
        const char *base, *name;
        each_t *each;
    } places[] = {
        {self->cluster->run_dir, BUNDLE_STORE_TASK, look_at_run_ns},
        {self->cluster->root_dir, BUNDLE_STORE_TASK, look_at_root_ns},
        {self->cluster->run_dir, BUNDLE_STORE_QUARANTINE, look_at_quarantine_ns},
        {self->cluster->root_dir, BUNDLE_STORE_QUARANTINE, look_at_quarantine_ns},
        {self->cluster->run_dir, "runc", look_at_runc_ns},
        {self->cluster->run_dir, "fifo", add_fifo},
    };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        AUTO_FREE char *dir = util_format("%s/%s", places[i].base, places[i].name);
        each_entry(self, "", dir, places[i].each);
    }
}

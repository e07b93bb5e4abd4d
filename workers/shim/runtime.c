/* Finds a runtime's shim executable. */
#include "workers/shim/runtime.h"

#include "common/local_path.h"
#include "common/util.h"

#include <czmq.h>
#include <string.h>
#include <sys/stat.h>

#define CACHE_MAX 64 /* executables; beyond that the cache is emptied */

typedef struct known {
    char path[PATH_MAX];
    struct stat seen;
    runtime_generation_t generation;
} known_t;

static bool is_executable(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

static bool find_beside_us(const char *file, char path[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size <= 0)
        return false;
    self[size] = '\0';
    char *slash = strrchr(self, '/');
    *slash = '\0';
    int length = snprintf(path, PATH_MAX, "%s/%s", self, file);
    return length < PATH_MAX && is_executable(path);
}

static bool find_in_path(const char *file, char path[PATH_MAX])
{
    const char *dirs = getenv("PATH");
    while (dirs && *dirs) {
        size_t size = strcspn(dirs, ":");
        int length = snprintf(path, PATH_MAX, "%.*s/%s", (int)size, dirs, file);
        /* An empty or relative entry would depend on where the cluster was started. */
        if (dirs[0] == '/' && length < PATH_MAX && is_executable(path))
            return true;
        dirs += size + (dirs[size] == ':');
    }
    return false;
}

/* containerd-shim-NAME-VERSION from the last two components of "a.b.NAME.VERSION". */
static status_code_t file_name(const char *name, char file[NAME_MAX], status_t *st)
{
    const char *version = strrchr(name, '.');
    const char *last = version;
    while (last && last > name && last[-1] != '.')
        last--;
    bool form = version && version[1] && last > name && last < version && !strchr(name, '/') &&
                !strstr(name, "..") && name[0] != '.';
    if (!form)
        return status_set(
            st, STATUS_INVALID_ARGUMENT,
            "invalid runtime name %s: either a name like io.containerd.runc.v2 or the "
            "absolute path of a shim",
            name);
    int length = snprintf(file, NAME_MAX, "containerd-shim-%.*s-%s", (int)(version - last), last,
                          version + 1);
    if (length >= NAME_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "runtime %.200s: the name of its shim is %d bytes long, limit %d", name,
                          length, NAME_MAX - 1);
    return STATUS_OK;
}

status_code_t runtime_resolve(const char *name, char path[PATH_MAX], status_t *st)
{
    char file[NAME_MAX];
    if (name[0] == '/') {
        if (snprintf(path, PATH_MAX, "%s", name) < PATH_MAX)
            return STATUS_OK;
        return status_set(st, STATUS_FAILED_PRECONDITION, "runtime %s: no such executable", name);
    }
    if (file_name(name, file, st))
        return st->code;
    if (find_in_path(file, path) || find_beside_us(file, path))
        return STATUS_OK;
    return status_set(st, STATUS_FAILED_PRECONDITION, "runtime %s: binary %s is not installed",
                      name, file);
}

status_code_t runtime_find(const char *name, char path[PATH_MAX], status_t *st)
{
    if (runtime_resolve(name, path, st))
        return st->code;
    if (name[0] == '/' && !is_executable(path))
        return status_set(st, STATUS_FAILED_PRECONDITION, "runtime %s: no such executable", name);
    return STATUS_OK;
}

bool runtime_is_runc(const char *name)
{
    const char *base = strrchr(name, '/');
    if (base)
        return !strncmp(base + 1, "containerd-shim-runc-", strlen("containerd-shim-runc-"));
    return strstr(name, ".runc.") != NULL;
}

/* Lives as long as the process. */
static zhashx_t *cache(void)
{
    static zhashx_t *table;
    if (!table) {
        table = zhashx_new();
        zhashx_set_key_duplicator(table, NULL);
        zhashx_set_key_destructor(table, NULL);
    }
    return table;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void forget_all(zhashx_t *table)
{
    for (known_t *known = zhashx_first(table); known; known = zhashx_next(table))
        free(known);
    zhashx_purge(table);
}

static bool look_at(const char *path, struct stat *ret)
{
    AUTO_CLOSE int fd = local_path_open(path);
    return fd >= 0 && !fstat(fd, ret);
}

runtime_generation_t runtime_generation(const char *path)
{
    struct stat info;
    known_t *known = zhashx_lookup(cache(), path);
    if (!known || !look_at(path, &info) || !same_file(&info, &known->seen))
        return RUNTIME_UNKNOWN;
    return known->generation;
}

void runtime_learn(const char *path, runtime_generation_t generation)
{
    struct stat info;
    if (!look_at(path, &info))
        return;
    known_t *known = zhashx_lookup(cache(), path);
    if (!known) {
        if (zhashx_size(cache()) >= CACHE_MAX)
            forget_all(cache());
        known = zmalloc(sizeof *known);
        snprintf(known->path, sizeof known->path, "%s", path);
        zhashx_insert(cache(), known->path, known);
    }
    known->seen = info;
    known->generation = generation;
}

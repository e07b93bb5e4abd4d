/* Host devices of a container: nodes to make, and cgroup rules that let it use them. */
#include "client/oci/oci_device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "client/oci/oci_json.h"
#include "client/oci/oci_text.h"
#include "common/util.h"

#define ALL "rwm"

/* What a search carries along. */
typedef struct search {
    const char *flag;
    const char *path; /* as the user gave it */
    json_t *devices;
    json_t *rules;
} search_t;

static json_t *rule(const char *type, unsigned int major_number, int minor_number)
{
    json_t *object = oci_json_must(json_pack("{s:b, s:s, s:i, s:s}", "allow", 1, "type", type,
                                             "major", (int)major_number, "access", ALL));
    if (minor_number >= 0)
        oci_json_set(object, "minor", json_integer(minor_number));
    return object;
}

json_t *oci_device_default_rules(bool privileged)
{
    /* null, random, full, tty, zero, urandom, console, all of pts, ptmx. */
    static const struct {
        unsigned int major;
        int minor;
    } usual[] = {{1, 3}, {1, 8}, {1, 7}, {5, 0}, {1, 5}, {1, 9}, {5, 1}, {136, -1}, {5, 2}};

    json_t *rules =
        oci_json_must(json_pack("[{s:b, s:s}]", "allow", (int)privileged, "access", ALL));
    if (!privileged)
        for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
            oci_json_push(rules, rule("c", usual[i].major, usual[i].minor));
    return rules;
}

static status_code_t add_node(const search_t *search, const char *path, const struct stat *stat,
                              status_t *st)
{
    if (json_array_size(search->devices) >= OCI_DEVICE_MAX)
        return oci_text_refuse(st, search->flag, search->path, "more than %d devices",
                               OCI_DEVICE_MAX);
    if (oci_text_check(search->flag, path, OCI_TEXT_PATH_MAX, st))
        return st->code;
    const char *type = S_ISBLK(stat->st_mode) ? "b" : "c";
    unsigned int major_number = major(stat->st_rdev);
    unsigned int minor_number = minor(stat->st_rdev);
    oci_json_push(search->devices,
                  json_pack("{s:s, s:s, s:i, s:i, s:i, s:I, s:I}", "path", path, "type", type,
                            "major", (int)major_number, "minor", (int)minor_number, "fileMode",
                            (int)(stat->st_mode & ~(mode_t)S_IFMT), "uid", (json_int_t)stat->st_uid,
                            "gid", (json_int_t)stat->st_gid));
    if (search->rules)
        oci_json_push(search->rules, rule(type, major_number, (int)minor_number));
    return STATUS_OK;
}

/* Left out by containerd for what they lead to, or for lxd and udev keeping their own things there.
 */
static bool is_skipped(const char *name, bool directory)
{
    static const char *const directories[] = {"pts",  "shm",         "fd",   "mqueue",
                                              ".lxc", ".lxd-mounts", ".udev"};
    if (!directory)
        return !strcmp(name, "console");
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
        if (!strcmp(name, directories[i]))
            return true;
    return false;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

static status_code_t search_directory(const search_t *search, const char *path, int depth,
                                      status_t *st);

static status_code_t visit(const search_t *search, const char *path, const char *name, int depth,
                           status_t *st)
{
    size_t size = strlen(path);
    const char *slash = size && path[size - 1] == '/' ? "" : "/";
    AUTO_FREE char *child = util_format("%s%s%s", path, slash, name);
    struct stat stat;
    /* Devices come and go: what is gone since the directory was read is none. */
    if (lstat(child, &stat))
        return errno == ENOENT ? STATUS_OK
                               : oci_text_refuse(st, search->flag, child, "%s", strerror(errno));
    if (is_skipped(name, S_ISDIR(stat.st_mode)))
        return STATUS_OK;
    if (S_ISDIR(stat.st_mode))
        return search_directory(search, child, depth + 1, st);
    if (S_ISCHR(stat.st_mode) || S_ISBLK(stat.st_mode))
        return add_node(search, child, &stat, st);
    return STATUS_OK;
}

static status_code_t search_directory(const search_t *search, const char *path, int depth,
                                      status_t *st)
{
    if (depth > OCI_DEVICE_DEPTH_MAX)
        return oci_text_refuse(st, search->flag, search->path, "more than %d levels deep",
                               OCI_DEVICE_DEPTH_MAX);
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_entry, by_name);
    if (count < 0)
        return oci_text_refuse(st, search->flag, path, "%s", strerror(errno));
    status_code_t code = STATUS_OK;
    for (int i = 0; i < count; i++) {
        if (!code)
            code = visit(search, path, entries[i]->d_name, depth, st);
        free(entries[i]);
    }
    free(entries);
    return code;
}

status_code_t oci_device_add(const char *flag, const char *path, json_t *devices, json_t *rules,
                             status_t *st)
{
    if (oci_text_check_path(flag, path, st))
        return st->code;
    search_t search = {.flag = flag, .path = path, .devices = devices, .rules = rules};
    struct stat stat;
    if (lstat(path, &stat))
        return oci_text_refuse(st, flag, path, "%s", strerror(errno));
    if (S_ISLNK(stat.st_mode) && (fstatat(AT_FDCWD, path, &stat, 0) || !S_ISDIR(stat.st_mode)))
        return oci_text_refuse(st, flag, path, "a symbolic link; give the device itself");
    if (S_ISCHR(stat.st_mode) || S_ISBLK(stat.st_mode))
        return add_node(&search, path, &stat, st);
    if (!S_ISDIR(stat.st_mode))
        return oci_text_refuse(st, flag, path, "not a device node");

    size_t before = json_array_size(devices);
    if (search_directory(&search, path, 1, st))
        return st->code;
    if (json_array_size(devices) == before)
        return oci_text_refuse(st, flag, path, "no device in this directory");
    return STATUS_OK;
}

/* A store in a fresh directory for the tests of the bundle worker. */
#include "tests/unit/bundle_fixture.h"

#include "workers/bundle/bundle_create.h"
#include "workers/bundle/bundle_mounts.h"
#include "workers/bundle/bundle_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define PATHS        8
#define FTW_FDS      32
#define READ_AT_ONCE 4096

int fixture_set_up(void **state)
{
    fixture_can_mount(); /* before anything is opened */
    const char *tmp = getenv("TMPDIR");
    fixture_t *self = calloc(1, sizeof *self);
    self->base = util_format("%s/shimd-bundle-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(self->base));
    make_dir(at(self, "precious"));
    make_file(at(self, "precious/file"), "precious");
    status_t st;
    self->store = bundle_store_new(at(self, "run"), at(self, "root"), &st);
    assert_non_null(self->store);
    self->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    *state = self;
    alarm(LIMIT_SECONDS);
    return 0;
}

int fixture_tear_down(void **state)
{
    fixture_t *self = *state;
    status_t st;
    alarm(0);
    msgpack_zone_free(self->zone);
    bundle_store_destroy(&self->store);
    char *slash = strrchr(self->base, '/');
    *slash = '\0';
    int parent = open(self->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fixture_can_mount() && bundle_mounts_unmount(parent, slash + 1, &st))
        print_error("%s\n", st.text);
    if (bundle_tree_remove(parent, slash + 1, &st))
        print_error("%s\n", st.text);
    close(parent);
    free(self->base);
    free(self);
    return 0;
}

bool fixture_can_mount(void)
{
    static int known = -1;
    if (known < 0) {
        known = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
        if (!known)
            print_message("*** NO MOUNT NAMESPACE OF OUR OWN (%s): tests with mounts are SKIPPED, "
                          "run as root ***\n",
                          strerror(errno));
    }
    return known == 1;
}

const char *at(const fixture_t *self, const char *format, ...)
{
    static char paths[PATHS][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % PATHS];
    int used = snprintf(path, PATH_MAX, "%s/", self->base);
    va_list args;
    va_start(args, format);
    vsnprintf(path + used, (size_t)(PATH_MAX - used), format, args);
    va_end(args);
    return path;
}

void make_bundle(const fixture_t *self, const char *id)
{
    status_t st;
    bool left_over;
    bundle_create_run(self->store, NS, id, INC1, SPEC, strlen(SPEC), &left_over, &st);
    if (st.code)
        fail_msg("%s", st.text);
}

void make_dir(const char *path)
{
    if (mkdir(path, 0755))
        fail_msg("mkdir %s: %s", path, strerror(errno));
}

void make_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (!file)
        fail_msg("open %s: %s", path, strerror(errno));
    fputs(text, file);
    fclose(file);
}

void expect_file(const char *path, const char *text)
{
    char buffer[READ_AT_ONCE] = "";
    FILE *file = fopen(path, "re");
    if (!file)
        fail_msg("open %s: %s", path, strerror(errno));
    buffer[fread(buffer, 1, sizeof buffer - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(buffer, text);
}

bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

static size_t visited;

static int visit(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)path;
    (void)info;
    (void)type;
    (void)where;
    visited++;
    return 0;
}

size_t count_below(const char *path)
{
    visited = 0;
    assert_int_equal(nftw(path, visit, FTW_FDS, FTW_PHYS), 0);
    return visited - 1;
}

void mount_tmpfs(const char *path, const char *options)
{
    if (mount("tmpfs", path, "tmpfs", 0, options))
        fail_msg("mount %s: %s", path, strerror(errno));
}

void mount_bind(const char *from, const char *to)
{
    if (mount(from, to, NULL, MS_BIND, NULL))
        fail_msg("bind %s: %s", to, strerror(errno));
}

size_t count_mounts(const fixture_t *self)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t size = 0, count = 0;
    while (getline(&line, &size, file) > 0)
        count += strstr(line, self->base) != NULL;
    free(line);
    fclose(file);
    return count;
}

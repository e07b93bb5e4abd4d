/* `delete`: cleans up after a dead shim, by what the bundle's files say. */
#include "tests/fake-shim/calls.h"
#include "tests/fake-shim/pid_file.h"
#include "tests/fake-shim/verbs.h"

#include "common/proto/runtime_info.pb-c.h"
#include "common/proto/task.pb-c.h"
#include "common/util.h"

#include <dirent.h>
#include <google/protobuf/timestamp.pb-c.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#define KILLED (128 + 9)

/* Every NAME.pid of the bundle: the execs', and the first process's last. */
static void kill_all(void)
{
    DIR *bundle = opendir(".");
    if (!bundle)
        return;
    for (const struct dirent *entry; (entry = readdir(bundle));) {
        size_t length = strlen(entry->d_name);
        if (length <= 4 || strcmp(entry->d_name + length - 4, ".pid") != 0 ||
            strcmp(entry->d_name, "init.pid") == 0)
            continue;
        AUTO_FREE char *name = util_format("%.*s", (int)(length - 4), entry->d_name);
        pid_file_kill(".", name);
    }
    closedir(bundle);
    pid_file_kill(".", "init");
}

static void print_result(pid_t pid)
{
    uint8_t bytes[128];
    Google__Protobuf__Timestamp now = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    now.seconds = util_now_ns() / 1000000000;
    now.nanos = (int32_t)(util_now_ns() % 1000000000);
    Containerd__Task__V2__DeleteResponse response = CONTAINERD__TASK__V2__DELETE_RESPONSE__INIT;
    response.pid = (uint32_t)pid;
    response.exit_status = KILLED;
    response.exited_at = &now;
    size_t size = protobuf_c_message_pack(&response.base, bytes);
    fwrite(bytes, 1, size, stdout);
    fflush(stdout);
}

/* The paths are made of the parent of the working directory and the id; so is the mistake. */
static bool is_bundle_of(const char *id)
{
    char cwd[PATH_MAX];
    const char *slash = getcwd(cwd, sizeof cwd) ? strrchr(cwd, '/') : NULL;
    return slash && strcmp(slash + 1, id) == 0 && access("runtime", F_OK) == 0;
}

int verb_delete(const options_t *options)
{
    status_t st;
    AUTO(spec)
    spec = spec_load(".", &st);
    int generation = options_generation(options, spec);
    const char *wish = spec_setting(spec, "delete");
    char cwd[PATH_MAX] = "";
    calls_open(spec);
    calls_note("delete %s cwd=%s bundle=%s", options->id, getcwd(cwd, sizeof cwd), options->bundle);
    while (wish && strcmp(wish, "hang") == 0)
        pause();
    if (wish && strcmp(wish, "exit1") == 0) {
        fputs("fake shim: told to fail\n", stderr);
        return 1;
    }
    if (wish && strcmp(wish, "garbage") == 0)
        fputs("\xff\xfe no response", stdout);
    if (wish && (strcmp(wish, "garbage") == 0 || strcmp(wish, "empty") == 0))
        return 0;
    if (!is_bundle_of(options->id)) {
        /* Newer ones do not notice that they did nothing. */
        if (generation > 1)
            print_result(-1);
        else
            fprintf(stderr, "open runtime: no such file or directory\n");
        return generation > 1 ? 0 : 1;
    }
    if (generation == 1)
        fputs("level=info msg=\"cleaning up\"\n", stderr);
    kill_all();
    umount2("rootfs", MNT_DETACH);
    print_result(pid_file_read(".", "init"));
    return 0;
}

int verb_info(const options_t *options)
{
    uint8_t bytes[512];
    char name[64] = "";
    /* containerd-shim-NAME-VERSION is the runtime io.containerd.NAME.VERSION. */
    const char *at = strstr(options->program, "shim-");
    snprintf(name, sizeof name, "%s", at ? at + strlen("shim-") : "fake-v2");
    char *dash = strrchr(name, '-');
    if (dash)
        *dash = '.';
    AUTO_FREE char *runtime = util_format("io.containerd.%s", name);
    Containerd__Types__RuntimeVersion version = CONTAINERD__TYPES__RUNTIME_VERSION__INIT;
    version.version = (char *)SHIMD_VERSION;
    Containerd__Types__RuntimeInfo info = CONTAINERD__TYPES__RUNTIME_INFO__INIT;
    info.name = runtime;
    info.version = &version;
    size_t size = protobuf_c_message_pack(&info.base, bytes);
    fwrite(bytes, 1, size, stdout);
    return fflush(stdout) ? 1 : 0;
}

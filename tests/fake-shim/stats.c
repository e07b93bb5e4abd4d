/* What Pids and Stats say of a container, from /proc. */
#include "tests/fake-shim/stats.h"

#include "common/proto/metrics_v1.pb-c.h"
#include "common/proto/runc_options.pb-c.h"
#include "common/util.h"

#include <czmq.h>
#include <google/protobuf/any.pb-c.h>

#define PIDS_MAX      1024
#define NS_PER_SECOND 1000000000
#define UNLIMITED     9223372036854771712 /* what a cgroup without a memory limit says */

static void pack(const ProtobufCMessage *message, uint8_t **ret, size_t *size)
{
    *size = protobuf_c_message_get_packed_size(message);
    *ret = zmalloc(*size + 1);
    protobuf_c_message_pack(message, *ret);
}

static Google__Protobuf__Any pack_any(const ProtobufCMessage *message)
{
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    any.type_url = (char *)message->descriptor->name;
    pack(message, &any.value.data, &any.value.len);
    return any;
}

static bool is_alive(const process_t *process)
{
    return process->pid > 0 && !process->is_ended;
}

/* Pids -------------------------------------------------------------------------------------------
 */

static Containerd__Task__V2__ProcessInfo *info_new(const process_t *process)
{
    Containerd__Task__V2__ProcessInfo *info = zmalloc(sizeof *info);
    containerd__task__v2__process_info__init(info);
    info->pid = (uint32_t)process->pid;
    if (!*process->exec_id)
        return info;
    Containerd__Runc__V1__ProcessDetails details = CONTAINERD__RUNC__V1__PROCESS_DETAILS__INIT;
    details.exec_id = process->exec_id;
    info->info = zmalloc(sizeof *info->info);
    *info->info = pack_any(&details.base);
    return info;
}

static void info_free(Containerd__Task__V2__ProcessInfo *info)
{
    if (info->info)
        free(info->info->value.data);
    free(info->info);
    free(info);
}

void stats_pids(const container_t *container, uint8_t **ret, size_t *size)
{
    Containerd__Task__V2__ProcessInfo *infos[PIDS_MAX];
    Containerd__Task__V2__PidsResponse response = CONTAINERD__TASK__V2__PIDS_RESPONSE__INIT;
    response.processes = infos;
    if (is_alive(container->init))
        infos[response.n_processes++] = info_new(container->init);
    process_t *exec;
    TAILQ_FOREACH(exec, &container->execs, link)
    if (is_alive(exec) && response.n_processes < PIDS_MAX)
        infos[response.n_processes++] = info_new(exec);
    pack(&response.base, ret, size);
    for (size_t i = 0; i < response.n_processes; i++)
        info_free(infos[i]);
}

/* Stats ------------------------------------------------------------------------------------------
 */

/* Adds what /proc/PID/stat says: fields 14 and 15 are ticks of user and system time, 24 pages. */
static void add_process(const process_t *process, Io__Containerd__Cgroups__V1__CPUUsage *cpu,
                        Io__Containerd__Cgroups__V1__MemoryStat *memory)
{
    char line[1024] = "";
    AUTO_FREE char *path = util_format("/proc/%d/stat", process->pid);
    FILE *file = is_alive(process) ? fopen(path, "re") : NULL;
    if (!file)
        return;
    char *at = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    fclose(file);
    unsigned long long user = 0, system = 0;
    long long pages = 0;
    if (!at || sscanf(at + 1,
                      " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %*s %*s %*s %*s %*s "
                      "%*s %*s %*s %lld",
                      &user, &system, &pages) != 3)
        return;
    uint64_t tick_ns = NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK);
    cpu->user += user * tick_ns;
    cpu->kernel += system * tick_ns;
    cpu->total += (user + system) * tick_ns;
    memory->rss += (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What the test wants to be answered, if it says so. */
static bool take_recorded(const container_t *container, uint8_t **ret, size_t *size)
{
    status_t st;
    spec_t *spec = spec_load(container->bundle, &st);
    const char *path = spec ? spec_setting(spec, "stats") : NULL;
    zchunk_t *bytes = path ? zchunk_slurp(path, 0) : NULL;
    spec_destroy(&spec);
    if (!bytes)
        return false;
    *size = zchunk_size(bytes);
    *ret = zmalloc(*size + 1);
    memcpy(*ret, zchunk_data(bytes), *size);
    zchunk_destroy(&bytes);
    return true;
}

void stats_metrics(const container_t *container, uint8_t **ret, size_t *size)
{
    if (take_recorded(container, ret, size))
        return;
    Io__Containerd__Cgroups__V1__PidsStat pids = IO__CONTAINERD__CGROUPS__V1__PIDS_STAT__INIT;
    Io__Containerd__Cgroups__V1__CPUUsage usage = IO__CONTAINERD__CGROUPS__V1__CPUUSAGE__INIT;
    Io__Containerd__Cgroups__V1__CPUStat cpu = IO__CONTAINERD__CGROUPS__V1__CPUSTAT__INIT;
    Io__Containerd__Cgroups__V1__MemoryStat memory = IO__CONTAINERD__CGROUPS__V1__MEMORY_STAT__INIT;
    Io__Containerd__Cgroups__V1__MemoryEntry entry =
        IO__CONTAINERD__CGROUPS__V1__MEMORY_ENTRY__INIT;
    Io__Containerd__Cgroups__V1__Metrics metrics = IO__CONTAINERD__CGROUPS__V1__METRICS__INIT;
    add_process(container->init, &usage, &memory);
    pids.current = is_alive(container->init);
    process_t *exec;
    TAILQ_FOREACH(exec, &container->execs, link)
    {
        add_process(exec, &usage, &memory);
        pids.current += is_alive(exec);
    }
    cpu.usage = &usage;
    entry.usage = entry.max = memory.rss;
    entry.limit = UNLIMITED;
    memory.usage = &entry;
    metrics.pids = &pids;
    metrics.cpu = &cpu;
    metrics.memory = &memory;
    Google__Protobuf__Any any = pack_any(&metrics.base);
    Containerd__Task__V2__StatsResponse response = CONTAINERD__TASK__V2__STATS_RESPONSE__INIT;
    response.stats = &any;
    pack(&response.base, ret, size);
    free(any.value.data);
}

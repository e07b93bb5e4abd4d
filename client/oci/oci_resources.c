/* The cgroup limits of a container. */
#include "client/oci/oci_resources.h"

#include <inttypes.h>
#include <string.h>

#include "client/oci/oci_json.h"
#include "client/oci/oci_text.h"

/* Microseconds; the period that --cpus is a share of. */
#define CPUS_PERIOD 100000

/* Bytes of a --cpuset-* value. */
#define CPUSET_SIZE_MAX 4096

/* CPUs and memory nodes are numbered below this. */
#define CPUSET_NUMBER_MAX 65535

static status_code_t set_cpus(json_t *cpu, const oci_spec_options_t *options, status_t *st)
{
    /* In this form a NaN is refused too. */
    double least = (double)OCI_SPEC_CPU_QUOTA_MIN / CPUS_PERIOD;
    if (!(options->cpus >= least && options->cpus <= OCI_SPEC_CPUS_MAX))
        return status_set(st, STATUS_INVALID_ARGUMENT, "--cpus %g: must be %g to %d", options->cpus,
                          least, OCI_SPEC_CPUS_MAX);
    if (options->cpu_quota != -1 || options->cpu_period)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--cpus and --cpu-quota or --cpu-period exclude each other");
    oci_json_set(cpu, "quota", json_integer((json_int_t)(options->cpus * CPUS_PERIOD)));
    oci_json_set(cpu, "period", json_integer(CPUS_PERIOD));
    return STATUS_OK;
}

static status_code_t set_quota(json_t *cpu, const oci_spec_options_t *options, status_t *st)
{
    int64_t quota = options->cpu_quota;
    uint64_t period = options->cpu_period;
    /* The kernel counts in nanoseconds, with some headroom in 64 bits. */
    int64_t quota_max = (int64_t)OCI_SPEC_CPUS_MAX * OCI_SPEC_CPU_PERIOD_MAX;
    if (quota < -1 || quota > quota_max || (quota > 0 && quota < OCI_SPEC_CPU_QUOTA_MIN))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--cpu-quota %" PRId64 ": must be -1, 0 or %d to %" PRId64
                          " microseconds",
                          quota, OCI_SPEC_CPU_QUOTA_MIN, quota_max);
    if (period && (period < OCI_SPEC_CPU_PERIOD_MIN || period > OCI_SPEC_CPU_PERIOD_MAX))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--cpu-period %" PRIu64 ": must be 0 or %d to %d microseconds", period,
                          OCI_SPEC_CPU_PERIOD_MIN, OCI_SPEC_CPU_PERIOD_MAX);
    oci_json_set(cpu, "quota", json_integer(quota));
    oci_json_set(cpu, "period", json_integer((json_int_t)period));
    return STATUS_OK;
}

/* One item of the kernel's list format, N or N-M, terminated in place. */
static bool is_range(char *item)
{
    char *last = strchr(item, '-');
    if (last)
        *last++ = '\0';
    uint64_t from;
    uint64_t to;
    if (oci_text_to_number(item, CPUSET_NUMBER_MAX, &from))
        return false;
    return !last || (!oci_text_to_number(last, CPUSET_NUMBER_MAX, &to) && from <= to);
}

static status_code_t set_cpuset(json_t *cpu, const char *key, const char *flag, const char *list,
                                status_t *st)
{
    if (!list || !*list)
        return STATUS_OK;
    char copy[CPUSET_SIZE_MAX + 1];
    if (oci_text_check(flag, list, CPUSET_SIZE_MAX, st))
        return st->code;
    memcpy(copy, list, strlen(list) + 1);
    for (char *rest = copy; rest;)
        if (!is_range(strsep(&rest, ",")))
            return oci_text_refuse(st, flag, list, "must look like 0-2,5, numbers up to %d",
                                   CPUSET_NUMBER_MAX);
    oci_json_set(cpu, key, json_string(list));
    return STATUS_OK;
}

static status_code_t set_cpu(json_t *cpu, const oci_spec_options_t *options, status_t *st)
{
    uint64_t shares = options->cpu_shares;
    if (shares && (shares < OCI_SPEC_CPU_SHARES_MIN || shares > OCI_SPEC_CPU_SHARES_MAX))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--cpu-shares %" PRIu64 ": must be 0 or %d to %d", shares,
                          OCI_SPEC_CPU_SHARES_MIN, OCI_SPEC_CPU_SHARES_MAX);
    if (shares)
        oci_json_set(cpu, "shares", json_integer((json_int_t)shares));

    bool quota = options->cpu_quota != -1 || options->cpu_period;
    if (options->cpus != 0 && set_cpus(cpu, options, st))
        return st->code;
    if (options->cpus == 0 && quota && set_quota(cpu, options, st))
        return st->code;
    if (set_cpuset(cpu, "cpus", "--cpuset-cpus", options->cpuset_cpus, st) ||
        set_cpuset(cpu, "mems", "--cpuset-mems", options->cpuset_mems, st))
        return st->code;
    return STATUS_OK;
}

status_code_t oci_resources_set(json_t *resources, const oci_spec_options_t *options, status_t *st)
{
    if (options->memory_limit > INT64_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--memory-limit %" PRIu64 ": limit %" PRId64 " bytes",
                          options->memory_limit, INT64_MAX);
    if (options->memory_limit)
        oci_json_set(resources, "memory",
                     json_pack("{s:I}", "limit", (json_int_t)options->memory_limit));

    json_auto_t *cpu = oci_json_must(json_object());
    if (set_cpu(cpu, options, st))
        return st->code;
    if (json_object_size(cpu))
        oci_json_set(resources, "cpu", json_incref(cpu));
    return STATUS_OK;
}

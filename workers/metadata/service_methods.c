/* Which methods the service has, and what all of them need. */
#include "workers/metadata/service_internal.h"

#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/exit_records.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/namespaces.h"
#include "workers/metadata/requests.h"
#include "workers/metadata/subscribers.h"
#include "workers/metadata/trail.h"

static const method_t methods[] = {
    {MSG_namespace_create, WRITES, NS_NONE, namespaces_create, NULL},
    {MSG_namespace_get, READS, NS_NONE, namespaces_get, NULL},
    {MSG_namespace_list, READS, NS_NONE, namespaces_list, NULL},
    {MSG_namespace_update, WRITES, NS_NONE, namespaces_update, NULL},
    {MSG_namespace_delete, WRITES, NS_NONE, namespaces_delete, NULL},
    {MSG_container_create, WRITES, NS_NEEDED, containers_create, containers_check_create},
    {MSG_container_get, READS, NS_NEEDED, containers_get, NULL},
    {MSG_container_list, READS, NS_OPTIONAL, containers_list, NULL},
    {MSG_container_update, WRITES, NS_NEEDED, containers_update, containers_check_update},
    {MSG_container_delete, WRITES, NS_NEEDED, containers_delete, NULL},
    {MSG_event_publish, WRITES, NS_NEEDED, journal_publish, journal_check_publish},
    {MSG_event_list, READS, NS_OPTIONAL, journal_list, NULL},
    {MSG_event_about, READS, NS_NEEDED, trail_about, NULL},
    {MSG_event_subscribe, WRITES, NS_OPTIONAL, subscribers_subscribe, subscribers_check},
    {MSG_event_fetch, WAITS, NS_OPTIONAL, NULL, NULL},
    {MSG_event_ack, WRITES, NS_OPTIONAL, subscribers_ack, NULL},
    {MSG_event_subscribers, READS, NS_OPTIONAL, subscribers_list, NULL},
    {MSG_event_unsubscribe, WRITES, NS_OPTIONAL, subscribers_unsubscribe, NULL},
    {MSG_request_get, READS_LATEST, NS_NONE, requests_get, NULL},
    {MSG_request_list, READS_LATEST, NS_NEEDED, requests_list, NULL},
    {MSG_request_record, WRITES, NS_NONE, requests_record, NULL},
    {MSG_incarnation_begin, WRITES, NS_NEEDED, incarnations_begin, incarnations_check_begin},
    {MSG_incarnation_exit, WRITES, NS_NEEDED, incarnations_exit, incarnations_check_exit},
    {MSG_incarnation_checkpoint, WRITES, NS_NEEDED, incarnations_checkpoint,
     incarnations_check_checkpoint},
    {MSG_incarnation_end, WRITES, NS_NEEDED, incarnations_end, incarnations_check_end},
    {MSG_incarnation_get, READS, NS_NEEDED, incarnations_get, incarnations_check_get},
    {MSG_incarnation_list, READS_LATEST, NS_NONE, incarnations_list, NULL},
    {MSG_restart_note, WRITES, NS_NEEDED, restarts_note, NULL},
    {MSG_restart_list, WRITES, NS_NONE, restarts_list, NULL},
    {MSG_exit_get, READS, NS_NEEDED, incarnations_exit_get, NULL},
    {MSG_exit_list, READS, NS_OPTIONAL, exit_records_list, NULL},
    {MSG_metadata_status, READS, NS_NONE, usage_tell, NULL},
};

_Static_assert(ARRAY_SIZE(methods) <= SERVICE_METHODS_MAX, "a handler for each");

const method_t *service_methods(size_t *count)
{
    *count = ARRAY_SIZE(methods);
    return methods;
}

const method_t *service_method_of(const request_t *request)
{
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (methods[i].id == request_method(request))
            return &methods[i];
    return NULL;
}

bool service_find_ns(const method_t *method, request_t *request, const char **ret)
{
    bool wanted = method->ns == NS_NEEDED || (method->ns == NS_OPTIONAL && request_ns(request));
    *ret = wanted ? request_require_ns(request) : NULL;
    return *ret || !wanted;
}

void *service_answer_in_zone(const method_t *method, request_t *request)
{
    size_t size = msg_type(msg_type(method->id)->answer)->size;
    void *answer = msgpack_zone_malloc(request_zone(request), size);
    if (!answer)
        abort();
    return memset(answer, 0, size);
}

const char *service_keep_text(msgpack_zone *zone, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;
    char *copy = text ? msgpack_zone_malloc(zone, size) : NULL;
    if (text && !copy)
        abort();
    return text ? memcpy(copy, text, size) : NULL;
}

/* incarnation.list: what a shim worker that has just started compares with the bundles that are
 * there. */
#include "workers/metadata/incarnations.h"

#include "workers/metadata/process_record.h"

#include <string.h>

#define ROWS_FIRST 64

/* In the answer's zone, doubling: how many there are is known at the end only. */
static void add_row(const call_t *call, msg_incarnations_t *answer, size_t *room,
                    const msg_incarnation_t *row)
{
    if (answer->incarnations.count == *room) {
        *room = *room ? *room * 2 : ROWS_FIRST;
        msg_incarnation_t *more = msgpack_zone_malloc(call->zone, *room * sizeof *more);
        if (!more)
            abort();
        if (answer->incarnations.count)
            memcpy(more, answer->incarnations.items, answer->incarnations.count * sizeof *more);
        answer->incarnations.items = more;
    }
    answer->incarnations.items[answer->incarnations.count++] = *row;
}

/* A key is NS, NUL, ID; both are copied to where the answer lives. */
static char *keep(msgpack_zone *zone, const void *text, size_t size)
{
    char *copy = msgpack_zone_malloc(zone, size + 1);
    if (!copy)
        abort();
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

status_code_t incarnations_list(txn_t *txn, const call_t *call, status_t *st)
{
    msg_incarnations_t *answer = call->answer;
    size_t room = 0;
    scan_t scan;
    (void)st;
    for (bool any = scan_seek(&scan, txn, TABLE_HEADS, NULL, 0); any; any = scan_next(&scan)) {
        head_record_t head;
        if (!head_record_of(&scan.value, &head) || !head.live)
            continue;
        char *ns = keep(call->zone, scan.key.data, scan.key.size);
        add_row(call, answer, &room,
                &(msg_incarnation_t){
                    .ns = ns,
                    .id = ns + strlen(ns) + 1,
                    .incarnation = keep(call->zone, head.incarnation, strlen(head.incarnation))});
    }
    scan_close(&scan);
    return STATUS_OK;
}

/* The lives of containers in a store. */
#include "tests/unit/story_fixture.h"

#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/trail.h"

msg_event_trail_t story_about(fixture_t *f, const char *id, uint64_t from, uint32_t limit)
{
    status_t st;
    msg_event_trail_t answer;
    const msg_event_about_t ask = {.id = id, .from = from, .limit = limit};
    assert_int_equal(fixture_read(f, trail_about, STORY_NS, &ask, &answer, sizeof answer, &st), 0);
    return answer;
}

msgpack_object story_unpack(fixture_t *f, const msg_bytes_t *bytes)
{
    msgpack_object object;
    size_t at = 0;
    assert_int_equal(msgpack_unpack((const char *)bytes->data, bytes->size, &at, f->zone, &object),
                     MSGPACK_UNPACK_SUCCESS);
    return object;
}

void story_assert_topics(fixture_t *f, const msg_event_trail_t *trail, const char *const *topics,
                         size_t count)
{
    msgpack_object events = story_unpack(f, &trail->events);
    assert_int_equal(events.via.array.size, count);
    for (size_t i = 0; i < count; i++)
        assert_true(fixture_is(&events.via.array.ptr[i], "topic", topics[i]));
}

void story_begin(fixture_t *f, const char *id, const char *incarnation)
{
    status_t st;
    assert_int_equal(fixture_begin(f, STORY_NS, id, incarnation, &st), 0);
}

void story_end(fixture_t *f, const char *id, const char *incarnation)
{
    status_t st;
    msg_restart_due_t due;
    const msg_incarnation_end_t ask = {.id = id, .incarnation = incarnation, .shim_lost = true};
    assert_int_equal(fixture_write(f, incarnations_end, STORY_NS, &ask, &due, sizeof due, &st), 0);
}

void story_leave(fixture_t *f, const char *id, const char *incarnation, const char *exec_id,
                 uint32_t status, int64_t at)
{
    status_t st;
    msg_restart_due_t due;
    const msg_incarnation_exit_t ask = {.id = id,
                                        .incarnation = incarnation,
                                        .exec_id = exec_id,
                                        .pid = exec_id ? 8 : 7,
                                        .exit_status = status,
                                        .exited_at = at,
                                        .source = "wait"};
    assert_int_equal(fixture_write(f, incarnations_exit, STORY_NS, &ask, &due, sizeof due, &st), 0);
}

void story_committed(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

void story_update(fixture_t *f, const char *id)
{
    status_t st;
    msg_container_t answer;
    const msg_container_update_t ask = {.id = id};
    assert_int_equal(
        fixture_write(f, containers_update, STORY_NS, &ask, &answer, sizeof answer, &st), 0);
}

static void drop_first_event(void *arg, txn_t *txn)
{
    (void)arg;
    uint64_t first = journal_first(txn, TABLE_JOURNAL);
    txn_delete(txn, TABLE_JOURNAL, &first, sizeof first);
}

void story_drop_events(fixture_t *f, int count)
{
    for (int i = 0; i < count; i++)
        batch_add(f->batch, drop_first_event, story_committed, NULL);
    batch_commit(f->batch);
}

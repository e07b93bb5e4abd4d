/* The lives of containers in a store, and what the journal tells of one of them. */
#ifndef SHIMD_STORY_FIXTURE_H
#define SHIMD_STORY_FIXTURE_H

#include "tests/unit/metadata_fixture.h"

#define STORY_NS    "default"
#define STORY_RUN_1 "11111111-2222-4333-8444-555555555551"
#define STORY_RUN_2 "11111111-2222-4333-8444-555555555552"

/* event.about. */
msg_event_trail_t story_about(fixture_t *f, const char *id, uint64_t from, uint32_t limit);
void story_assert_topics(fixture_t *f, const msg_event_trail_t *trail, const char *const *topics,
                         size_t count);
msgpack_object story_unpack(fixture_t *f, const msg_bytes_t *bytes);

/* A run begins, its process (or an exec) ends, it is over; each must come off. */
void story_begin(fixture_t *f, const char *id, const char *incarnation);
void story_leave(fixture_t *f, const char *id, const char *incarnation, const char *exec_id,
                 uint32_t status, int64_t at);
void story_end(fixture_t *f, const char *id, const char *incarnation);

/* container.update. */
void story_update(fixture_t *f, const char *id);

/* The oldest `count` events are gone, as after retention. */
void story_drop_events(fixture_t *f, int count);

/* Of a batch that must be committed: a batch_done_t. */
void story_committed(void *arg, const status_t *st);

#endif

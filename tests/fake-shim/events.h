/* Hands events to the manager, as unreliably as containerd's publisher does, or worse on request.
 */
#ifndef SHIMD_FAKE_EVENTS_H
#define SHIMD_FAKE_EVENTS_H

#include "tests/fake-shim/spec.h"

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#define EVENTS_QUEUE_MAX 2048 /* further ones are dropped, with a line in the log */

/* Starts the sender thread. Without TTRPC_ADDRESS nothing is ever sent. The setting "events" of
 * `spec`: none, reorder (each pair the wrong way round), duplicate (each twice), drop (every
 * second), drop(TOPIC), delay(MS). */
void events_start(const char *ns, const spec_t *spec);

/* Queues an event; never waits. Thread-safe. */
void events_publish(const char *topic, const ProtobufCMessage *event);

/* Waits until the queue is empty, but at most that long. */
void events_drain(int64_t ms);

/* The wire's Timestamp of `ns` (since the epoch); of 0, Go's zero time in the year 1. */
void events_time(int64_t ns, int64_t *seconds, int32_t *nanos);

#endif

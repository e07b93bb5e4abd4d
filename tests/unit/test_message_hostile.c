/* Bytes that are no message, or only look like one: nothing is read past its end, allocated on its
 * word, or believed. */
#include "tests/unit/message_fixture.h"

#include "common/util.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <setjmp.h>

#include <cmocka.h>

#define FUZZ_ROUNDS 200 /* mutations of each message */

static uint64_t random_state = 20240229; /* xorshift64: the same run every time */

static uint32_t next_random(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

/* Decodes an exact copy of `data`, so that a sanitizer sees a read past the end. */
static status_code_t decode(msg_id_t id, const void *data, size_t size, status_t *st)
{
    msgpack_zone zone;
    msgpack_sbuffer buffer;
    status_clear(st);
    msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
    msgpack_sbuffer_init(&buffer);
    if (size)
        msgpack_sbuffer_write(&buffer, data, size);
    void *value = message_decoded(id, &buffer, &zone, st);
    msgpack_sbuffer_destroy(&buffer);
    if (value) {
        /* Whatever was accepted can be sent on. */
        msgpack_sbuffer_init(&buffer);
        msg_encode(id, value, &buffer);
        msgpack_sbuffer_destroy(&buffer);
    }
    msgpack_zone_destroy(&zone);
    return st->code;
}

static void encode_filled(msg_id_t id, msgpack_sbuffer *out)
{
    msgpack_zone zone;
    msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
    msgpack_sbuffer_init(out);
    msg_encode(id, message_filled(id, false, &zone), out);
    msgpack_zone_destroy(&zone);
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    status_t st;
    for (msg_id_t id = 0; id < MSG_COUNT; id++) {
        msgpack_sbuffer buffer;
        encode_filled(id, &buffer);
        for (size_t size = 0; size < buffer.size; size++) {
            assert_int_equal(decode(id, buffer.data, size, &st), STATUS_INVALID_ARGUMENT);
            assert_non_null(strstr(st.text, message_name(id)));
        }
        msgpack_sbuffer_write(&buffer, "\xc0", 1);
        assert_int_equal(decode(id, buffer.data, buffer.size, &st), STATUS_INVALID_ARGUMENT);
        assert_non_null(strstr(st.text, "bytes follow the msgpack value"));
        msgpack_sbuffer_destroy(&buffer);
    }
}

static void test_not_a_map(void **state)
{
    (void)state;
    status_t st;
    assert_int_equal(decode(MSG_empty, "", 0, &st), STATUS_INVALID_ARGUMENT);
    assert_string_equal(st.text, "empty: msgpack is cut short or malformed");
    assert_int_equal(decode(MSG_empty, "\xc1", 1, &st), STATUS_INVALID_ARGUMENT);
    assert_int_equal(decode(MSG_empty, "\x81\xa1x\xc1", 4, &st), STATUS_INVALID_ARGUMENT);
    for (const char *p = "\xc0\xc2\x01\xff\x90\xa0"; *p; p++) {
        assert_int_equal(decode(MSG_empty, p, 1, &st), STATUS_INVALID_ARGUMENT);
        assert_string_equal(st.text, "empty: not a map");
    }
    assert_int_equal(msg_scan(NULL, 0, &st), STATUS_INVALID_ARGUMENT);
}

/* {"x": [[[...]]]} with `depth` containers in all. */
static status_code_t decode_nested(size_t depth, char head, status_t *st)
{
    AUTO_FREE char *data = malloc(3 + depth * 2);
    size_t used = 3;
    memcpy(data, "\x81\xa1x", 3);
    for (size_t i = 1; i < depth; i++) {
        data[used++] = head;
        if (head == (char)0x81)
            data[used++] = 1; /* a key */
    }
    data[used++] = (char)0xc0;
    return decode(MSG_empty, data, used, st);
}

static void test_nested_bombs(void **state)
{
    static const char heads[] = {(char)0x91, (char)0x81};
    (void)state;
    status_t st;
    for (size_t i = 0; i < sizeof heads; i++) {
        assert_int_equal(decode_nested(MSG_DEPTH_MAX, heads[i], &st), STATUS_OK);
        assert_int_equal(decode_nested(MSG_DEPTH_MAX + 1, heads[i], &st), STATUS_INVALID_ARGUMENT);
        assert_string_equal(st.text, "empty: msgpack is nested deeper than 24");
        assert_int_equal(decode_nested(1 << 20, heads[i], &st), STATUS_INVALID_ARGUMENT);
    }
}

static void test_announced_lengths(void **state)
{
    static const struct {
        const char *data;
        size_t size;
    } bombs[] = {
        {"\xdf\xff\xff\xff\xff", 5},          /* map 32 of 4294967295 */
        {"\xdf\x80\0\0\0\x01\x01", 7},        /* map 32 of 2^31: twice that overflows 32 bits */
        {"\x81\xa1x\xdd\xff\xff\xff\xff", 8}, /* array 32 */
        {"\x81\xa1x\xdd\0\xff\xff\xff\x01\x02", 10}, /* more than there is */
        {"\x81\xa1x\xdb\xff\xff\xff\xff", 8},        /* str 32 */
        {"\x81\xa1x\xc6\xff\xff\xff\xff", 8},        /* bin 32 */
        {"\x81\xa1x\xc9\xff\xff\xff\xff\x01", 9},    /* ext 32 */
        {"\x81\xa1x\xc9\0\0\0\x01\x01", 9},          /* ext 32 without its byte */
        {"\x81\xa1x\xd8\x01", 5},                    /* fixext 16 */
        {"\x81\xa1x\xcf\0\0", 6},                    /* uint 64 */
    };
    (void)state;
    status_t st;
    struct mallinfo2 before = mallinfo2();
    for (size_t i = 0; i < ARRAY_SIZE(bombs); i++)
        assert_int_equal(decode(MSG_empty, bombs[i].data, bombs[i].size, &st),
                         STATUS_INVALID_ARGUMENT);
    assert_true(mallinfo2().arena <= before.arena + (1 << 20));
}

/* The widest array that a body can hold is unpacked into a bounded multiple of its size. */
static void test_wide_body(void **state)
{
    (void)state;
    status_t st;
    size_t count = MSG_BODY_MAX - 8;
    AUTO_FREE char *data = malloc(MSG_BODY_MAX);
    memcpy(data, "\x81\xa1x\xdd", 4);
    for (int i = 0; i < 4; i++)
        data[4 + i] = (char)(count >> (24 - 8 * i));
    memset(data + 8, 0x01, count);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    long before = usage.ru_maxrss;
    assert_int_equal(decode(MSG_empty, data, 8 + count, &st), STATUS_OK);
    getrusage(RUSAGE_SELF, &usage);
    assert_true(usage.ru_maxrss - before < 40 * (long)(MSG_BODY_MAX >> 10));
}

/* Bytes changed, dropped, doubled and swapped in good messages: accepted or refused, never a crash,
 * and a refusal is always a sentence that begins with the message's name. */
static void mutate(char *data, size_t *size)
{
    for (uint32_t i = next_random(4); i < 4; i++) {
        size_t at = next_random((uint32_t)*size);
        switch (next_random(4)) {
        case 0:
            data[at] = (char)next_random(256);
            break;
        case 1:
            data[at] = (char)(data[at] ^ 1 << next_random(8));
            break;
        case 2:
            memmove(data + at, data + at + 1, *size - at - 1);
            *size -= *size > 1;
            break;
        default:
            data[at] = data[next_random((uint32_t)*size)];
        }
    }
}

static void test_random_mutations(void **state)
{
    (void)state;
    status_t st;
    size_t accepted = 0;
    for (msg_id_t id = 0; id < MSG_COUNT; id++) {
        msgpack_sbuffer buffer;
        encode_filled(id, &buffer);
        for (int round = 0; round < FUZZ_ROUNDS; round++) {
            AUTO_FREE char *data = malloc(buffer.size);
            size_t size = buffer.size;
            memcpy(data, buffer.data, size);
            mutate(data, &size);
            status_code_t code = decode(id, data, size, &st);
            accepted += code == STATUS_OK;
            if (code) {
                assert_int_equal(code, STATUS_INVALID_ARGUMENT);
                assert_memory_equal(st.text, message_name(id), strlen(message_name(id)));
            }
        }
        msgpack_sbuffer_destroy(&buffer);
    }
    assert_true(accepted > 100); /* or the mutations are too coarse to reach the fields */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_every_byte), cmocka_unit_test(test_not_a_map),
        cmocka_unit_test(test_nested_bombs),      cmocka_unit_test(test_announced_lengths),
        cmocka_unit_test(test_wide_body),         cmocka_unit_test(test_random_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

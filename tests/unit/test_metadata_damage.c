/* A store whose file was damaged, at every byte of the last commit, and here and there in those
 * before it: it opens, loses at most the record that was hit, tells of it, and its numbers go on.
 */
#include "tests/unit/metadata_fixture.h"

#include "common/util.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/mend.h"
#include "workers/metadata/mender.h"
#include "workers/metadata/salvage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NS "default"
#ifndef SAMPLES
#define SAMPLES 2500 /* places in the pages written last, beside all those of the meta pages */
#endif
#ifndef STRIDE
#define STRIDE 1 /* from one byte of the last commit to the next that is tried */
#endif
#define SEED     20261127u
#define AT_ONCE  100 /* cases in one child */
#define CHILDREN 8   /* at a time, at most */
#define FLIPS    100 /* at once */
#define FILE_MAX (4u << 20)

/* The disk is not what is tested here, and takes its time. */
int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

int fsync(int fd)
{
    (void)fd;
    return 0;
}

/* What is in the store --------------------------------------------------------------------------
 */

typedef struct known {
    table_t table;
    store_key_t key;
    uint8_t *data;
    size_t size;
} known_t;

#define KNOWN_MAX 2048
static known_t known[KNOWN_MAX];
static size_t known_count;
static uint64_t known_last;

static void keep(void *arg, table_t table, const msg_bytes_t *key, const msg_bytes_t *value)
{
    (void)arg;
    assert_true(known_count < KNOWN_MAX);
    known_t *record = &known[known_count++];
    *record = (known_t){.table = table, .key = {.size = key->size}, .size = value->size};
    memcpy(record->key.bytes, key->data, key->size);
    record->data = malloc(value->size + 1);
    memcpy(record->data, value->data, value->size);
}

static void forget_known(void)
{
    for (size_t i = 0; i < known_count; i++)
        free(known[i].data);
    known_count = 0;
}

static uint8_t *file_before, *file_between, *file_after; /* between: without the last commit */
static size_t size_before, size_between, size_after;

/* Where the cases are, each child's in a directory of its own. LMDB waits for the disk itself. */
static char cases[64];

static size_t read_file(fixture_t *f, uint8_t *ret)
{
    AUTO_FREE char *path = util_format("%s/data.mdb", f->path);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, ret, FILE_MAX);
    assert_true(size > 0);
    return (size_t)size;
}

static void write_file(fixture_t *f, const uint8_t *data, size_t size)
{
    AUTO_FREE char *path = util_format("%s/data.mdb", f->path);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, data, size), size);
}

static void committed(void *arg, const status_t *st)
{
    (void)arg;
    assert_int_equal(st->code, STATUS_OK);
}

static void append(void *arg, txn_t *txn)
{
    uint64_t *ret = arg;
    msg_bytes_t fields = {.data = (const uint8_t *)"\x80", .size = 1};
    *ret = journal_append(txn, &(journal_event_t){.ns = NS,
                                                  .topic = "/t",
                                                  .type = "",
                                                  .origin = JOURNAL_ORIGIN_CLIENT,
                                                  .incarnation = "",
                                                  .event = fields});
}

static char *case_directory(size_t number)
{
    return util_format("%s/%zu", cases, number);
}

static void clear_directory(const char *path)
{
    mkdir(path, 0700);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

/* A store that has seen some life, and what of its file the last commits have written. */
static void prepare(fixture_t *f)
{
    forget_known();
    snprintf(cases, sizeof cases, "%s/shimd-damage-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    assert_non_null(mkdtemp(cases));
    file_before = malloc(FILE_MAX);
    file_between = malloc(FILE_MAX);
    file_after = malloc(FILE_MAX);
    fixture_fill(f, NS, 0, 30);
    size_before = read_file(f, file_before);
    fixture_fill(f, NS, 30, 32);
    batch_add(f->batch, fixture_put_big, committed, "big");
    batch_commit(f->batch);
    fixture_fill(f, NS, 32, 33);
    size_between = read_file(f, file_between);
    uint64_t seq;
    batch_add(f->batch, append, committed, &seq);
    batch_commit(f->batch);
    size_after = read_file(f, file_after);
    AUTO_FREE char *path = util_format("%s/data.mdb", f->path);
    mdb_file_t file;
    survey_t survey = {.budget = UINT64_MAX, .record = keep};
    known_last = store_journal_last(f->store);
    assert_int_equal(seq, known_last); /* the last transaction has one */
    assert_true(salvage_survey(path, &file, &survey));
    assert_string_equal(survey.flaw, "");
    assert_int_equal(survey_total(survey.damaged), 0);
    survey_clear(&survey);
    mdb_file_close(&file);
}

static void finish(void)
{
    for (size_t i = 0; i < CHILDREN; i++) {
        AUTO_FREE char *path = case_directory(i);
        clear_directory(path);
        rmdir(path);
    }
    assert_int_equal(rmdir(cases), 0);
    free(file_before);
    free(file_between);
    free(file_after);
    forget_known();
}

/* Cases ------------------------------------------------------------------------------------------
 */

typedef struct damage {
    size_t at;
    uint8_t flip;   /* bits; 0: the file ends here */
    size_t size;    /* bytes that are hit; 0 for one */
    unsigned times; /* that often, at places all over the file; 0 for once */
    size_t also;    /* this page is lost too; 0 for none */
} damage_t;

static bool is_own(const known_t *record)
{
    return record->table == TABLE_NS_SEQ;
}

static FILE *told; /* the child's */

/* Records that are not there any more, or are another one's. `ret_reused`: events in whose place is
 * something other than a mark. */
static size_t count_missing(txn_t *txn, size_t *ret_reused)
{
    size_t missing = 0;
    *ret_reused = 0;
    for (size_t i = 0; i < known_count; i++) {
        msg_bytes_t found;
        const known_t *record = &known[i];
        bool is_there = txn_get(txn, record->table, record->key.bytes, record->key.size, &found);
        bool is_same =
            is_there && found.size == record->size && !memcmp(found.data, record->data, found.size);
        missing += !is_own(record) && !is_same;
        *ret_reused += record->table == TABLE_JOURNAL && is_there && !is_same &&
                       !memmem(found.data, found.size, MEND_TOPIC_EVENT, strlen(MEND_TOPIC_EVENT));
    }
    return missing;
}

static size_t count_marks(txn_t *txn, bool *ret_contiguous)
{
    size_t marks = 0;
    uint64_t before = 0;
    scan_t scan;
    *ret_contiguous = true;
    for (bool any = scan_seek(&scan, txn, TABLE_JOURNAL, NULL, 0); any; any = scan_next(&scan)) {
        uint64_t seq;
        memcpy(&seq, scan.key.data, sizeof seq);
        *ret_contiguous = *ret_contiguous && (!before || seq == before + 1);
        before = seq;
        marks += memmem(scan.value.data, scan.value.size, "/shimd/", 7) != NULL;
    }
    scan_close(&scan);
    return marks;
}

/* What is cut off, or hit everywhere, may be all that tells how far they went. */
static bool keeps_numbers(const damage_t *damage)
{
    return damage->flip && !damage->times;
}

/* Runs in a child, whose only way to tell is how it ends. */
static int try_one(fixture_t *f, const damage_t *damage, size_t most)
{
    status_t st;
    uint64_t seq = 0, last;
    bool is_contiguous;
    f->store = store_open(f->path, STORE_MAP_INITIAL, STORE_MAP_MAX, &st);
    if (!f->store) {
        fprintf(told, "at %zu: %s\n", damage->at, st.text);
        return 1;
    }
    batch_t *batch = batch_new(f->store, NULL, NULL, NULL);
    mender_t *mender = mender_new(f->io, f->store, batch);
    last = store_journal_last(f->store);
    batch_add(batch, append, committed, &seq);
    batch_commit(batch);
    txn_t *txn = txn_read(f->store, &st);
    size_t reused, missing = count_missing(txn, &reused);
    size_t marks = count_marks(txn, &is_contiguous);
    bool is_good = missing <= most && (!missing || marks) && (is_contiguous || !damage->flip) &&
                   seq == last + 1 && ((seq > known_last && !reused) || !keeps_numbers(damage));
    if (!is_good)
        fprintf(told,
                "at %zu (page %zu + %zu) ^ %#x: %zu missing, %zu reused, %zu told, %s, seq %zu of "
                "%zu\n",
                damage->at, damage->at / MDB_FILE_PAGE, damage->at % MDB_FILE_PAGE, damage->flip,
                missing, reused, marks, is_contiguous ? "contiguous" : "with gaps", (size_t)seq,
                (size_t)known_last);
    txn_destroy(&txn);
    mender_destroy(&mender);
    batch_destroy(&batch);
    store_destroy(&f->store);
    return !is_good;
}

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void hit(uint8_t *data, const damage_t *damage)
{
    unsigned random = (unsigned)damage->at;
    for (size_t i = 0; i < (damage->size ? damage->size : 1) && damage->at + i < size_after; i++)
        data[damage->at + i] ^= damage->flip;
    for (size_t i = 0; damage->also && i < MDB_FILE_PAGE; i++)
        data[damage->also * MDB_FILE_PAGE + i] ^= damage->flip;
    for (unsigned i = 1; i < damage->times; i++)
        data[next_random(&random) % size_after] ^= damage->flip;
}

/* In a child: how many fail. */
static int try_some(const fixture_t *f, const damage_t *damages, size_t count, size_t most,
                    size_t number)
{
    fixture_t own = *f;
    int failed = 0;
    AUTO_FREE char *path = case_directory(number);
    told = fdopen(dup(STDERR_FILENO), "w");
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO); /* the log's */
    snprintf(own.path, sizeof own.path, "%s", path);
    uint8_t *data = malloc(FILE_MAX);
    for (size_t i = 0; i < count; i++) {
        clear_directory(own.path);
        memcpy(data, file_after, size_after);
        hit(data, &damages[i]);
        write_file(&own, data, damages[i].flip ? size_after : damages[i].at);
        failed += try_one(&own, &damages[i], most);
    }
    fflush(told);
    free(data);
    return failed > 100 ? 100 : failed;
}

static int failures_of(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status))
        fprintf(stderr, "a child died of signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* `most`: records that may be lost in each case. */
static void try_all(fixture_t *f, const damage_t *damages, size_t count, size_t most)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t at_a_time = processors < 1 || processors > CHILDREN ? CHILDREN : (size_t)processors;
    pid_t children[CHILDREN] = {0};
    int failures = 0;
    for (size_t from = 0, turn = 0; from < count; from += AT_ONCE, turn = (turn + 1) % at_a_time) {
        size_t some = count - from < AT_ONCE ? count - from : AT_ONCE;
        failures += children[turn] ? failures_of(children[turn]) : 0;
        fflush(NULL);
        children[turn] = fork();
        assert_true(children[turn] >= 0);
        if (children[turn] == 0)
            _exit(try_some(f, damages + from, some, most, turn));
    }
    for (size_t i = 0; i < at_a_time; i++)
        failures += children[i] ? failures_of(children[i]) : 0;
    assert_int_equal(failures, 0);
}

static bool is_new(size_t page)
{
    size_t at = page * MDB_FILE_PAGE;
    return at >= size_before || memcmp(file_before + at, file_after + at, MDB_FILE_PAGE) != 0;
}

static void test_flipped_bits(void **state)
{
    fixture_t *f = *state;
    prepare(f);
    damage_t *damages = calloc(SAMPLES + 512, sizeof *damages);
    size_t count = 0;
    unsigned random = SEED;
    for (size_t i = 0; i < 152 * 2; i++) /* all of both meta pages that is used */
        damages[count++] = (damage_t){.at = i / 152 * MDB_FILE_PAGE + i % 152,
                                      .flip = (uint8_t)(1u << next_random(&random) % 8)};
    while (count < SAMPLES) {
        size_t at = next_random(&random) % size_after;
        if (at >= MDB_FILE_METAS * MDB_FILE_PAGE && is_new(at / MDB_FILE_PAGE))
            damages[count++] =
                (damage_t){.at = at, .flip = (uint8_t)(1u << next_random(&random) % 8)};
    }
    try_all(f, damages, count, 1);
    free(damages);
    finish();
}

/* Every byte of the file that the last commit has made another: all its bits are flipped, or the
 * file ends there. */
static void try_last_commit(fixture_t *f, uint8_t flip, size_t most)
{
    damage_t *damages = malloc(size_after * sizeof *damages);
    size_t written = 0, count = 0;
    for (size_t at = 0; at < size_after; at++)
        if ((at >= size_between || file_between[at] != file_after[at]) && written++ % STRIDE == 0)
            damages[count++] = (damage_t){.at = at, .flip = flip};
    assert_true(written > 2 * (size_t)MDB_FILE_PAGE); /* of half a dozen pages */
    try_all(f, damages, count, most);
    free(damages);
}

static void test_last_commit_flipped(void **state)
{
    fixture_t *f = *state;
    prepare(f);
    try_last_commit(f, 0xff, 1);
    finish();
}

static void test_last_commit_truncated(void **state)
{
    fixture_t *f = *state;
    prepare(f);
    try_last_commit(f, 0, SIZE_MAX);
    finish();
}

/* What was cut off is lost, nothing else; the newest pages may be anything, the lists of tables
 * too. */
static void test_truncated(void **state)
{
    fixture_t *f = *state;
    prepare(f);
    damage_t *damages = calloc(512, sizeof *damages);
    size_t count = 0;
    for (size_t at = size_after; at > 0 && count < 300; at -= at < 512 ? at : 509)
        damages[count++] = (damage_t){.at = at - 1};
    try_all(f, damages, count, SIZE_MAX);
    free(damages);
    finish();
}

/* Blocks that a disk has lost. */
static void test_lost_pages(void **state)
{
    fixture_t *f = *state;
    prepare(f);
    damage_t damages[512];
    size_t count = 0;
    for (size_t page = 0; page < size_after / MDB_FILE_PAGE && count < ARRAY_SIZE(damages); page++)
        damages[count++] =
            (damage_t){.at = page * MDB_FILE_PAGE, .flip = 0xff, .size = MDB_FILE_PAGE};
    try_all(f, damages, count, 40);
    finish();
}

/* The meta page of the last transaction. */
static mdb_file_meta_t newest_meta(fixture_t *f)
{
    AUTO_FREE char *path = util_format("%s/data.mdb", f->path);
    mdb_file_t file = mdb_file_open(path);
    mdb_file_close(&file);
    return file.metas[file.metas[1].txn > file.metas[0].txn];
}

/* The list of tables, which each transaction writes: which pages are in use is known without it, so
 * that everything is there still. */
static void test_lost_tables(void **state)
{
    fixture_t *f = *state;
    prepare(f);
    size_t root = newest_meta(f).main.root * MDB_FILE_PAGE, count = 0;
    uint8_t *page = file_after + root;
    unsigned random = SEED;
    damage_t damages[MDB_FILE_PAGE] = {{.at = root, .flip = 0xff, .size = MDB_FILE_PAGE}};
    try_all(f, damages, 1, 0);
    size_t used = MDB_FILE_PAGE - mdb_file_used(page);
    for (size_t at = 0; at < MDB_FILE_PAGE; at += at < 64 ? 1 : 1 + 5000 / SAMPLES)
        if (at < 64 || at >= used)
            damages[count++] =
                (damage_t){.at = root + at, .flip = (uint8_t)(1u << next_random(&random) % 8)};
    try_all(f, damages, count, 0);
    finish();
}

/* With the list of free pages gone too the last transaction is lost, but not its numbers. */
static void test_lost_transaction(void **state)
{
    fixture_t *f = *state;
    prepare(f);
    mdb_file_meta_t meta = newest_meta(f);
    damage_t damage = {.at = meta.main.root * MDB_FILE_PAGE,
                       .flip = 0xff,
                       .size = MDB_FILE_PAGE,
                       .also = meta.free.root};
    try_all(f, &damage, 1, 40);
    finish();
}

/* Many at once: among them are the list of free pages and what it would have told of. Each loses a
 * record at most, and each lost event has its mark. */
static void test_damage_everywhere(void **state)
{
    fixture_t *f = *state;
    prepare(f);
    /* The first two lose the oldest event and, without a trace, the next. */
    damage_t damages[300] = {{.at = 149603, .flip = 0x40, .times = FLIPS},
                             {.at = 39375, .flip = 0x1, .times = FLIPS}};
    unsigned random = SEED;
    for (size_t i = 2; i < ARRAY_SIZE(damages); i++)
        damages[i] = (damage_t){.at = next_random(&random) % size_after,
                                .flip = (uint8_t)(1u << next_random(&random) % 8),
                                .size = 1,
                                .times = FLIPS};
    try_all(f, damages, ARRAY_SIZE(damages), FLIPS);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_flipped_bits, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_last_commit_flipped, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_last_commit_truncated, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_truncated, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_lost_pages, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_lost_tables, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_lost_transaction, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_damage_everywhere, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

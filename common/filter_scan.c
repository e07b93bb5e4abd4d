/* Filters: from characters to fields, operators and values. The sentences of errors, and where they
 * point to, are containerd's. */
#include "common/filter_internal.h"

#include "common/utf8.h"
#include "common/util.h"

#include <string.h>

#define EXCERPT_MAX 120 /* bytes of the filter that an error shows before and behind its place */

/* Errors ----------------------------------------------------------------------------------------
 */

/* The end of `size` bytes, or their beginning, at a character's boundary. */
static filter_text_t last_of(const char *data, size_t size)
{
    size_t skip = size > EXCERPT_MAX ? size - EXCERPT_MAX : 0;
    while (skip && skip < size && ((unsigned char)data[skip] & 0xc0) == 0x80)
        skip++;
    return (filter_text_t){.data = data + skip, .size = size - skip};
}

static filter_text_t first_of(const char *data, size_t size)
{
    size_t taken = size > EXCERPT_MAX ? EXCERPT_MAX : size;
    while (taken < size && taken && ((unsigned char)data[taken] & 0xc0) == 0x80)
        taken--;
    return (filter_text_t){.data = data, .size = taken};
}

status_code_t filter_scan_fail(status_t *st, const char *subject, filter_text_t text, size_t at,
                               const char *sentence)
{
    filter_text_t before = last_of(text.data, at);
    const char *cut = before.size < at ? "..." : "";
    if (at == text.size)
        return status_set(st, STATUS_INVALID_ARGUMENT, "filters: parse error: %s[%s%.*s]: %s",
                          subject, cut, (int)before.size, before.data, sentence);
    size_t here = utf8_sequence(text.data + at, text.size - at);
    here = here ? here : 1;
    size_t left = text.size - at - here;
    filter_text_t behind = first_of(text.data + at + here, left);
    return status_set(st, STATUS_INVALID_ARGUMENT,
                      "filters: parse error: %s[%s%.*s >|%.*s|< %.*s%s]: %s", subject, cut,
                      (int)before.size, before.data, (int)here, text.data + at, (int)behind.size,
                      behind.data, behind.size < left ? "..." : "", sentence);
}

static status_code_t fail(const filter_scan_t *self, size_t at, const char *sentence)
{
    return filter_scan_fail(self->st, "", (filter_text_t){.data = self->text, .size = self->size},
                            at, sentence);
}

/* Characters ------------------------------------------------------------------------------------
 */

bool filter_scan_is_done(const filter_scan_t *self)
{
    return self->at == self->size;
}

char filter_scan_peek(const filter_scan_t *self)
{
    return filter_scan_is_done(self) ? '\0' : self->text[self->at];
}

static size_t sequence_at(const filter_scan_t *self)
{
    return utf8_sequence(self->text + self->at, self->size - self->at);
}

/* Those that Unicode calls White_Space, by their UTF-8. */
static bool is_blank(const char *character, size_t size)
{
    static const char *const blanks[] = {"\t",           "\n",           "\v",
                                         "\f",           "\r",           " ",
                                         "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80",
                                         "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82",
                                         "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85",
                                         "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88",
                                         "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
                                         "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f",
                                         "\xe3\x80\x80"};
    for (size_t i = 0; i < ARRAY_SIZE(blanks); i++)
        if (strlen(blanks[i]) == size && !memcmp(blanks[i], character, size))
            return true;
    return false;
}

/* C0, DEL and C1. */
static bool is_control(const char *character, size_t size)
{
    unsigned char first = (unsigned char)character[0];
    if (size == 2)
        return first == 0xc2 && (unsigned char)character[1] < 0xa0;
    return size == 1 && (first < ' ' || first == 0x7f);
}

static bool is_field_char(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

void filter_scan_blanks(filter_scan_t *self)
{
    while (!filter_scan_is_done(self)) {
        size_t size = sequence_at(self);
        if (!is_blank(self->text + self->at, size))
            return;
        self->at += size;
    }
}

/* Quoted ----------------------------------------------------------------------------------------
 */

/* Appends U+`rune`. */
static void put_rune(filter_scan_t *self, uint32_t rune)
{
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t size = rune < 0x80 ? 1 : rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;
    for (size_t i = size; i > 1; i--, rune >>= 6)
        self->room[i - 1] = (char)(0x80 | (rune & 0x3f));
    self->room[0] = (char)(leads[size] | rune);
    self->room += size;
}

/* Exactly `width` digits. */
static bool take_digits(filter_scan_t *self, uint32_t base, unsigned width, uint32_t *ret)
{
    static const char digits[] = "0123456789abcdef";
    *ret = 0;
    for (; width > 0; width--, self->at++) {
        char c = filter_scan_peek(self);
        c = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
        const char *digit = c ? memchr(digits, c, base) : NULL;
        if (!digit)
            return false;
        *ret = *ret * base + (uint32_t)(digit - digits);
    }
    return true;
}

/* What follows a backslash. NULL, or what is wrong with it. */
static const char *take_escape(filter_scan_t *self, char quote)
{
    static const char names[] = "abfnrtv\\", meanings[] = "\a\b\f\n\r\t\v\\";
    char c = filter_scan_peek(self);
    bool is_octal = c >= '0' && c <= '7';
    uint32_t number;
    if (c == quote || is_one_of(c, names)) {
        *self->room++ = c == quote ? quote : meanings[strchr(names, c) - names];
        self->at++;
        return NULL;
    }
    if (!is_octal && !is_one_of(c, "xuU"))
        return "illegal escape sequence";
    self->at += !is_octal;
    unsigned width = is_octal ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : 8;
    if (!take_digits(self, is_octal ? 8 : 16, width, &number))
        return "illegal numeric escape sequence";
    if (is_octal || c == 'x') {
        if (number > 0xff)
            return "unquoting failed: invalid syntax";
        *self->room++ = (char)number;
        return NULL;
    }
    if (number > 0x10ffff || (number >= 0xd800 && number < 0xe000))
        return "unquoting failed: invalid syntax";
    put_rune(self, number);
    return NULL;
}

/* Stands on the opening quote. A text that does not end is told before an escape that is wrong. */
static status_code_t take_quoted(filter_scan_t *self, bool is_expression, filter_text_t *ret)
{
    size_t start = self->at++;
    char quote = self->text[start];
    const char *wrong = NULL;
    char *first = self->room;
    while (filter_scan_peek(self) != quote) {
        if (filter_scan_is_done(self) || filter_scan_peek(self) == '\n')
            return fail(self, start, "quoted literal not terminated");
        char c = self->text[self->at++];
        if (c != '\\') {
            *self->room++ = c;
            continue;
        }
        const char *complaint = take_escape(self, quote);
        wrong = wrong ? wrong : complaint;
    }
    self->at++;
    if (wrong)
        return fail(self, start, wrong);
    if (quote != '"' && !is_expression)
        return fail(self, start, "invalid quote encountered");
    *ret = (filter_text_t){.data = first, .size = (size_t)(self->room - first)};
    return STATUS_OK;
}

/* Tokens ----------------------------------------------------------------------------------------
 */

#define QUOTES         "\"/|"
#define OPERATOR_CHARS "=!~"

status_code_t filter_scan_field(filter_scan_t *self, filter_text_t *ret)
{
    filter_scan_blanks(self);
    if (is_one_of(filter_scan_peek(self), QUOTES))
        return take_quoted(self, false, ret);
    size_t start = self->at;
    while (is_field_char(filter_scan_peek(self)))
        self->at++;
    *ret = (filter_text_t){.data = self->text + start, .size = self->at - start};
    return ret->size ? STATUS_OK : fail(self, start, "expected field or quoted");
}

status_code_t filter_scan_operator(filter_scan_t *self, filter_operator_t *ret)
{
    static const struct {
        const char *text;
        filter_operator_t operator;
    } known[] = {{"==", OPERATOR_EQUAL},        {"!=", OPERATOR_NOT_EQUAL},
                 {"~=", OPERATOR_MATCHES},      {"<", OPERATOR_LESS},
                 {"<=", OPERATOR_LESS_EQUAL},   {">", OPERATOR_GREATER},
                 {">=", OPERATOR_GREATER_EQUAL}};
    filter_scan_blanks(self);
    size_t start = self->at;
    if (is_one_of(filter_scan_peek(self), "<>")) {
        self->at++;
        self->at += filter_scan_peek(self) == '=';
    } else {
        while (is_one_of(filter_scan_peek(self), OPERATOR_CHARS))
            self->at++;
    }
    size_t size = self->at - start;
    if (size == 0)
        return fail(self, start,
                    "expected an operator (\"==\"|\"!=\"|\"~=\"|\">\"|\">=\"|\"<\"|\"<=\")");
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (strlen(known[i].text) == size && !memcmp(known[i].text, self->text + start, size)) {
            *ret = known[i].operator;
            return STATUS_OK;
        }
    AUTO_FREE char *sentence = util_format("unsupported operator \"%.*s\"",
                                           size < 16 ? (int)size : 16, self->text + start);
    return fail(self, start, sentence);
}

status_code_t filter_scan_value(filter_scan_t *self, bool is_expression, filter_text_t *ret)
{
    filter_scan_blanks(self);
    char first = filter_scan_peek(self);
    if (is_one_of(first, QUOTES))
        return take_quoted(self, is_expression, ret);
    size_t start = self->at;
    if (!is_one_of(first, OPERATOR_CHARS ".,"))
        while (!filter_scan_is_done(self) && filter_scan_peek(self) != ',') {
            size_t size = sequence_at(self);
            const char *character = self->text + self->at;
            if (is_blank(character, size) || is_control(character, size))
                break;
            self->at += size;
        }
    *ret = (filter_text_t){.data = self->text + start, .size = self->at - start};
    return ret->size ? STATUS_OK : fail(self, start, "expected value or quoted");
}

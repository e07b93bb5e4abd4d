/* Filters: matching. Whoever asks chooses the expressions, so all of it runs on a limited account
 * of processor time. */
#include "common/filter_internal.h"

#include "common/scalar.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CPU_MAX_NS ((int64_t)FILTER_CPU_MS * 1000000)

/* Characters a step may have to look at before the clock is looked at again. */
#define STRIDE_CHARACTERS 65536

#define VALUE_TEXT_SIZE 64

/* The account -----------------------------------------------------------------------------------
 */

static int64_t cpu_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool is_overdrawn(const filter_t *self)
{
    return self->cpu_ns + cpu_now() - self->started_ns > CPU_MAX_NS;
}

void filter_rewind(filter_t *self)
{
    if (self)
        self->cpu_ns = 0;
}

status_code_t filter_status(const filter_t *self, status_t *st)
{
    if (!self || !self->gave_up)
        return STATUS_OK;
    return status_set(st, STATUS_RESOURCE_EXHAUSTED,
                      "filters: matching takes too much time or memory");
}

/* Regular expressions ---------------------------------------------------------------------------
 */

/* PCRE2 calls before each item of the expression. */
static int on_step(pcre2_callout_block *block, void *arg)
{
    filter_t *self = arg;
    (void)block;
    if (--self->steps_left)
        return 0;
    self->steps_left = self->stride;
    return is_overdrawn(self) ? PCRE2_ERROR_CALLOUT : 0;
}

static bool expression_matches(filter_t *self, const pcre2_code *expression, filter_text_t text)
{
    self->stride = (uint32_t)(STRIDE_CHARACTERS / (text.size + 1) + 1);
    self->steps_left = self->stride;
    pcre2_set_callout(self->match_context, on_step, self);
    int found = pcre2_match(expression, (PCRE2_SPTR)text.data, text.size, 0, 0, self->match_data,
                            self->match_context);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH)
        self->gave_up = true;
    return found >= 0;
}

/* Values ----------------------------------------------------------------------------------------
 */

/* What is not text as it is written: whole numbers without a point, times as RFC 3339. */
static filter_text_t text_of(const filter_value_t *value, char buffer[VALUE_TEXT_SIZE])
{
    _Static_assert(VALUE_TEXT_SIZE >= SCALAR_TIME_SIZE, "a time fits");
    if (value->kind == FILTER_TEXT)
        return value->text;
    if (value->kind == FILTER_TIME)
        scalar_print_time(value->time, "T", "Z", buffer);
    else if (value->number == floorl(value->number) && fabsl(value->number) < 1e20L)
        snprintf(buffer, VALUE_TEXT_SIZE, "%.0Lf", value->number);
    else
        snprintf(buffer, VALUE_TEXT_SIZE, "%.17Lg", value->number);
    return (filter_text_t){.data = buffer, .size = strlen(buffer)};
}

static bool is_equal(const filter_selector_t *selector, const filter_value_t *value)
{
    if (value->kind == FILTER_NUMBER)
        return selector->is_number && value->number == selector->number;
    if (value->kind == FILTER_TIME)
        return selector->is_time && value->time == selector->time;
    return value->text.size == selector->text.size &&
           !memcmp(value->text.data, selector->text.data, value->text.size);
}

typedef enum order { ORDER_NONE, ORDER_LESS, ORDER_EQUAL, ORDER_GREATER } order_t;

#define ORDER(left, right)                                                                         \
    ((left) < (right) ? ORDER_LESS : (left) > (right) ? ORDER_GREATER : ORDER_EQUAL)

/* How the value stands to the operand; ORDER_NONE when they have none. */
static order_t order_of(const filter_selector_t *selector, const filter_value_t *value)
{
    long double number;
    int64_t time;
    filter_text_t text = value->text;
    if (value->kind == FILTER_NUMBER && selector->is_number && !isnan(value->number))
        return ORDER(value->number, selector->number);
    if (value->kind == FILTER_TIME && selector->is_time)
        return ORDER(value->time, selector->time);
    if (value->kind != FILTER_TEXT)
        return ORDER_NONE;
    if (selector->is_number && scalar_read_number(text.data, text.size, &number))
        return ORDER(number, selector->number);
    if (selector->is_time && scalar_read_time(text.data, text.size, &time))
        return ORDER(time, selector->time);
    return ORDER_NONE;
}

/* Selectors -------------------------------------------------------------------------------------
 */

static bool selector_matches(filter_t *self, const filter_selector_t *selector,
                             filter_adaptor_t *adaptor, const void *object)
{
    const filter_value_t absent = {.kind = FILTER_TEXT, .text = {.data = "", .size = 0}};
    filter_value_t value = absent;
    char buffer[VALUE_TEXT_SIZE];
    bool present = adaptor(object, &selector->path, &value);
    if (!present)
        value = absent;
    switch (selector->operator) {
    case OPERATOR_PRESENT:
        return present;
    case OPERATOR_EQUAL:
        return present && is_equal(selector, &value);
    case OPERATOR_NOT_EQUAL:
        return !is_equal(selector, &value);
    case OPERATOR_MATCHES:
        return expression_matches(self, selector->expression, text_of(&value, buffer));
    default:
        break;
    }
    order_t order = order_of(selector, &value);
    bool or_equal =
        selector->operator== OPERATOR_LESS_EQUAL || selector->operator== OPERATOR_GREATER_EQUAL;
    bool less = selector->operator== OPERATOR_LESS || selector->operator== OPERATOR_LESS_EQUAL;
    return order == (less ? ORDER_LESS : ORDER_GREATER) || (or_equal && order == ORDER_EQUAL);
}

static bool all_match(filter_t *self, const filter_alternative_t *alternative,
                      filter_adaptor_t *adaptor, const void *object)
{
    for (size_t i = alternative->first; i < alternative->end; i++)
        if (self->gave_up || !selector_matches(self, &self->selectors[i], adaptor, object))
            return false;
    return true;
}

bool filter_match(filter_t *self, filter_adaptor_t *adaptor, const void *object)
{
    if (!self)
        return true;
    bool matches = false;
    self->started_ns = cpu_now();
    for (size_t i = 0; i < self->count && !self->gave_up && !matches; i++)
        matches = all_match(self, &self->alternatives[i], adaptor, object);
    self->cpu_ns += cpu_now() - self->started_ns;
    self->gave_up = self->gave_up || self->cpu_ns > CPU_MAX_NS;
    return matches && !self->gave_up;
}

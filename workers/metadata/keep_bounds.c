/* How much is kept of what is kept for a while only. */
#include "workers/metadata/keep_bounds.h"

#define REQUESTS (1u << EXPIRY_REQUEST | 1u << EXPIRY_TARGET)
#define EXITS    (1u << EXPIRY_PROCESS | 1u << EXPIRY_RUN)

static size_t excess(txn_t *txn, table_t table, int most)
{
    size_t count = txn_count(txn, table);
    return count > (size_t)most ? count - (size_t)most : 0;
}

bool keep_bounds_is_due(txn_t *txn, const retention_t *retention)
{
    return excess(txn, TABLE_REQUESTS, retention->max_requests) ||
           excess(txn, TABLE_EXITS, retention->max_exits);
}

static bool trim(txn_t *txn, unsigned kinds, size_t too_many, size_t budget, store_key_t *at)
{
    if (!too_many) {
        at->size = 0;
        return false;
    }
    return expiry_hasten(txn, kinds, too_many, budget, at);
}

bool keep_bounds_trim(keep_bounds_t *self, txn_t *txn, const retention_t *retention, size_t budget)
{
    size_t requests = excess(txn, TABLE_REQUESTS, retention->max_requests);
    size_t exits = excess(txn, TABLE_EXITS, retention->max_exits);
    bool has_more = trim(txn, REQUESTS, requests, budget, &self->requests);
    return trim(txn, EXITS, exits, budget, &self->exits) || has_more;
}

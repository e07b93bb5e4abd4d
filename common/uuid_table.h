/* czmq hash tables keyed by the 16 bytes of a msg_uuid_t. */
#ifndef SHIMD_UUID_TABLE_H
#define SHIMD_UUID_TABLE_H

#include <czmq.h>

/* An empty table. A key is not copied: it must be a member of the item it leads to. The caller sets
 * the items' destructor, and frees the table with zhashx_destroy. */
zhashx_t *uuid_table_new(void);

#endif

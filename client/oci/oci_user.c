/* The user and groups of a container's process, by the accounts in the container's own root. */
#include "client/oci/oci_user.h"

#include <ctype.h>
#include <string.h>

#include "client/oci/oci_file.h"
#include "client/oci/oci_json.h"
#include "client/oci/oci_text.h"
#include "common/util.h"

#define FLAG   "--user"
#define PASSWD "/etc/passwd"
#define GROUP  "/etc/group"

/* Bytes of a --user value. */
#define USER_SIZE_MAX 1024

/* One line of either file, cut in place; missing fields are empty. passwd(5) has the user's number
 * in `id` and the group's in `last`; group(5) has the group's number in `id`, members in `last`. */
typedef struct account {
    char *name;
    char *password;
    char *id;
    char *last;
} account_t;

/* What is known of the user that is asked for. */
typedef struct identity {
    uint64_t uid;
    uint64_t gid;
    char *name; /* whose memberships count; NULL for nobody's */
} identity_t;

/* Takes the next line that is no comment off `*rest`. */
static bool next_account(char **rest, account_t *ret)
{
    while (*rest) {
        char *line = strsep(rest, "\n");
        line += strspn(line, " \t\r");
        if (!*line || *line == '#')
            continue;
        for (size_t size = strlen(line); size && isspace((unsigned char)line[size - 1]); size--)
            line[size - 1] = '\0';
        char **fields[] = {&ret->name, &ret->password, &ret->id, &ret->last};
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
            char *field = strsep(&line, ":");
            *fields[i] = field ? field : "";
        }
        return true;
    }
    return false;
}

static status_code_t read_accounts(const char *root, const char *path, const char *user, char **ret,
                                   status_t *st)
{
    if (!root || root[0] != '/')
        return oci_text_refuse(st, FLAG, user,
                               "the root filesystem's path is not absolute, so %s in it cannot be "
                               "read",
                               path);
    if (oci_file_read_inside(root, path, OCI_FILE_ACCOUNTS_MAX, ret, st))
        return status_wrap(st, FLAG);
    return STATUS_OK;
}

static status_code_t to_id(const char *text, const char *user, const char *what, uint64_t *ret,
                           status_t *st)
{
    if (oci_text_to_number(text, OCI_USER_ID_MAX, ret))
        return oci_text_refuse(st, FLAG, user, "%s '%.32s' is not a number of 0 to %d", what, text,
                               OCI_USER_ID_MAX);
    return STATUS_OK;
}

/* The passwd entry of `name`, or where that is NULL of `uid`. */
static status_code_t find_user(const char *root, const char *user, const char *name, uint64_t uid,
                               identity_t *ret, status_t *st)
{
    AUTO_FREE char *text = NULL;
    if (read_accounts(root, PASSWD, user, &text, st))
        return st->code;
    char *rest = text;
    account_t entry;
    while (next_account(&rest, &entry)) {
        uint64_t number;
        if (name ? strcmp(entry.name, name)
                 : oci_text_to_number(entry.id, OCI_USER_ID_MAX, &number) || number != uid)
            continue;
        if (to_id(entry.id, user, "the user's number in " PASSWD, &ret->uid, st) ||
            to_id(entry.last, user, "the group's number in " PASSWD, &ret->gid, st))
            return st->code;
        ret->name = util_strdup(entry.name);
        return STATUS_OK;
    }
    if (name)
        return oci_text_refuse(st, FLAG, user, "no user '%.32s' in " PASSWD " of the container",
                               name);
    ret->uid = uid;
    ret->gid = 0;
    return STATUS_OK;
}

static status_code_t find_group(const char *root, const char *user, const char *name, uint64_t *gid,
                                status_t *st)
{
    AUTO_FREE char *text = NULL;
    if (read_accounts(root, GROUP, user, &text, st))
        return st->code;
    char *rest = text;
    account_t entry;
    while (next_account(&rest, &entry))
        if (!strcmp(entry.name, name))
            return to_id(entry.id, user, "the group's number in " GROUP, gid, st);
    return oci_text_refuse(st, FLAG, user, "no group '%.32s' in " GROUP " of the container", name);
}

static bool has_member(char *members, const char *name)
{
    while (members)
        if (!strcmp(strsep(&members, ","), name))
            return true;
    return false;
}

/* Appends the groups that list `name`, other than the one called so. */
static status_code_t add_memberships(const char *root, const char *user, const char *name,
                                     json_t *gids, status_t *st)
{
    AUTO_FREE char *text = NULL;
    if (read_accounts(root, GROUP, user, &text, st))
        return st->code;
    char *rest = text;
    account_t entry;
    while (next_account(&rest, &entry)) {
        if (!strcmp(entry.name, name) || !has_member(entry.last, name))
            continue;
        if (json_array_size(gids) >= OCI_USER_GROUPS_MAX)
            return oci_text_refuse(st, FLAG, user, "in more than %d groups", OCI_USER_GROUPS_MAX);
        uint64_t gid;
        if (to_id(entry.id, user, "a group's number in " GROUP, &gid, st))
            return st->code;
        oci_json_push(gids, json_integer((json_int_t)gid));
    }
    return STATUS_OK;
}

static json_t *user_object(const identity_t *who, json_t *gids)
{
    bool listed = false;
    size_t i;
    json_t *gid;
    json_array_foreach(gids, i, gid) listed |= json_integer_value(gid) == (json_int_t)who->gid;
    if (!listed && json_array_insert_new(gids, 0, json_integer((json_int_t)who->gid)))
        abort();
    return oci_json_must(json_pack("{s:I, s:I, s:O}", "uid", (json_int_t)who->uid, "gid",
                                   (json_int_t)who->gid, "additionalGids", gids));
}

/* Cuts USER[:GROUP] in place; `*group` is NULL without one. */
static status_code_t split(const char *user, char *copy, char **name, char **group, status_t *st)
{
    *name = strsep(&copy, ":");
    *group = copy;
    if (!**name || (*group && (!**group || strchr(*group, ':'))))
        return oci_text_refuse(st, FLAG, user, "must look like USER or USER:GROUP");
    return STATUS_OK;
}

static status_code_t identify(const char *root, const char *user, const char *name,
                              const char *group, identity_t *who, status_t *st)
{
    bool numeric = oci_text_is_number(name);
    if (numeric && to_id(name, user, "the user", &who->uid, st))
        return st->code;
    /* UID:GROUP needs no passwd. */
    if (!(numeric && group) && find_user(root, user, numeric ? NULL : name, who->uid, who, st))
        return st->code;
    if (!group)
        return STATUS_OK;
    if (oci_text_is_number(group))
        return to_id(group, user, "the group", &who->gid, st);
    return find_group(root, user, group, &who->gid, st);
}

json_t *oci_user_new(const char *root, const char *user, status_t *st)
{
    if (oci_text_check(FLAG, user, USER_SIZE_MAX, st))
        return NULL;
    AUTO_FREE char *copy = util_strdup(user);
    char *name;
    char *group;
    if (split(user, copy, &name, &group, st))
        return NULL;

    identity_t who = {0};
    status_code_t code = identify(root, user, name, group, &who, st);
    AUTO_FREE char *member = who.name;
    json_auto_t *gids = oci_json_must(json_array());
    if (!code && member && !group)
        code = add_memberships(root, user, member, gids, st);
    return code ? NULL : user_object(&who, gids);
}

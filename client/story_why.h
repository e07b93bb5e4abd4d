/* Why a container is as it is. */
#ifndef SHIMD_STORY_WHY_H
#define SHIMD_STORY_WHY_H

#include "client/story.h"

#define STORY_WHY_MAX 8

typedef struct story_why {
    char *state;                  /* "EXITED with 137" */
    char *because[STORY_WHY_MAX]; /* sentences, the first the most telling */
    size_t count;
} story_why_t;

/* `now` in ns since the epoch. */
void story_why(const story_t *story, int64_t now, story_why_t *ret);
void story_why_free(story_why_t *self);

/* "uid 0 gid 0 pid 123 (shimctl)". The caller frees. */
char *story_peer(const msg_peer_t *peer);

#endif

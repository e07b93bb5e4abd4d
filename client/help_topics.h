/* What `shimctl help TOPIC` prints. */
#ifndef SHIMD_HELP_TOPICS_H
#define SHIMD_HELP_TOPICS_H

typedef struct help_topic {
    const char *name; /* NULL ends the list */
    const char *brief;
    const char *text; /* whole lines */
} help_topic_t;

extern const help_topic_t help_topics[];

/* NULL when there is no such topic. */
const help_topic_t *help_topic_find(const char *name);

/* One whose name differs little from that; NULL when there is none. */
const help_topic_t *help_topic_near(const char *name);

#endif

/* Processes of this machine by what /proc tells of them. A pid alone names nobody for long: with
 * the time at which its process was started it does. */
#ifndef SHIMD_PROC_H
#define SHIMD_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* When the process was started, in clock ticks since boot (proc(5), stat, field 22). 0 when there
 * is no such process. */
uint64_t proc_start_time(pid_t pid);

/* What /proc/PID/NAME has, as far as it fits, NUL-terminated; its size, 0 when there is nothing to
 * read. */
size_t proc_read(pid_t pid, const char *name, char *ret, size_t size);

/* The next of the words, each ended by NUL, of which /proc/PID/cmdline and environ are made; NULL
 * when there is none before `end`. */
const char *proc_next_word(const char *word, const char *end);

/* A name that no other process of this machine has had or will have: boot, pid and start. False
 * when there is no such process. */
#define PROC_NAME_SIZE 64
bool proc_name(pid_t pid, char ret[PROC_NAME_SIZE]);

/* The name of its command (proc(5), comm), in which what is no printable ASCII stands as ?. False
 * when there is no such process. */
#define PROC_COMM_SIZE 64
bool proc_comm(pid_t pid, char ret[PROC_COMM_SIZE]);

/* Its parent; 0 when there is no such process. */
pid_t proc_parent(pid_t pid);

/* Its real user; (uid_t)-1 when there is no such process. */
uid_t proc_user(pid_t pid);

/* A descriptor for the process, close-on-exec; -1 with ESRCH when there is none, or another one
 * than that which was started at `start_time` (0: whichever it is). */
int proc_open(pid_t pid, uint64_t start_time);

/* The same for the process that has or had that name; EINVAL for what is none. */
int proc_open_named(const char *name);

#endif

/* The process that keeps descriptors for others (keeper.h). It depends on nobody: when the
 * supervisor has died it goes on until there is nothing left to be kept, and ends by itself. */
#ifndef SHIMD_KEEPER_PROCESS_H
#define SHIMD_KEEPER_PROCESS_H

#define KEEPER_NAME       "shimd-keeper" /* argv[0] that makes shimd one; argv[1]: failpoints */
#define KEEPER_CONTROL_FD 3     /* from the supervisor: channels, as common/keep.h sends them */
#define KEEPER_MAX        8192  /* descriptors; more are not kept */
#define KEEPER_AFTER_MS   60000 /* from the death of whoever handed one over to its closing */

/* Keeps what comes through the channels, each until its other side hangs up or KEEPER_AFTER_MS
 * after the channel's end. Nobody reads from them. `failpoints`: see failpoint_inherit. */
_Noreturn void keeper_process_run(const char *failpoints);

#endif

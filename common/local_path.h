/* Paths that somebody else chose. A file system over a network, or one in user space, may never
 * answer, and whoever touches it then cannot even be killed. */
#ifndef SHIMD_LOCAL_PATH_H
#define SHIMD_LOCAL_PATH_H

/* A descriptor (O_PATH) of what is at `path`, which the caller closes, or -1 with what open(2)
 * says. Never waits: EAGAIN is said of what the kernel does not have at hand, and of what is not on
 * a file system that is known to be of this machine; only who may hang for ever can look at that.
 * What is done with "/proc/self/fd/N" stays there, whatever becomes of the path. */
int local_path_open(const char *path);

#endif

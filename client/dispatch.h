/* From the words of the command line to the command they name. */
#ifndef SHIMD_DISPATCH_H
#define SHIMD_DISPATCH_H

/* Runs the command and returns the exit status. Prints help, version and errors itself. */
int dispatch(int argc, char **argv);

#endif

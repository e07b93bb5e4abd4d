/* Exit statuses of shimctl. */
#include "client/exit_status.h"

int exit_status_of(status_code_t code)
{
    switch (code) {
    case STATUS_OK:
        return 0;
    case STATUS_NOT_FOUND:
        return 3;
    case STATUS_ALREADY_EXISTS:
        return 4;
    case STATUS_FAILED_PRECONDITION:
        return 5;
    case STATUS_INVALID_ARGUMENT:
    case STATUS_OUT_OF_RANGE:
        return 6;
    case STATUS_PERMISSION_DENIED:
    case STATUS_UNAUTHENTICATED:
        return 7;
    case STATUS_RESOURCE_EXHAUSTED:
        return 8;
    case STATUS_DEADLINE_EXCEEDED:
        return 9;
    case STATUS_UNAVAILABLE:
        return 10;
    case STATUS_UNIMPLEMENTED:
        return 11;
    case STATUS_CANCELLED:
        return 12;
    case STATUS_ABORTED:
        return 13;
    case STATUS_UNKNOWN:
    case STATUS_INTERNAL:
    case STATUS_DATA_LOSS:
        break;
    }
    return EXIT_STATUS_OTHER;
}

const char *exit_status_text(void)
{
    return "   0  done\n"
           "   1  any other failure, of the cluster or of the runtime\n"
           "   2  the command line was not understood\n"
           "   3  not found\n"
           "   4  it exists already\n"
           "   5  it is in the wrong state for this\n"
           "   6  an argument was refused\n"
           "   7  permission denied\n"
           "   8  a limit or a resource is exhausted\n"
           "   9  no answer before the deadline\n"
           "  10  the cluster or one of its processes is not there\n"
           "  11  not implemented by this cluster or runtime\n"
           "  12  interrupted\n"
           "  13  aborted by another request\n"
           "  14  doctor has found, or left, something that is wrong\n"
           "run, and start, attach and exec unless detached, end with the process's own exit "
           "status\n"
           "once it was started.\n";
}

/* shimctl: the command-line client. */
#include "client/dispatch.h"

#include <czmq.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <unistd.h>

/* A closed standard descriptor would be the number of the next one opened, a fifo or a socket. */
static void fill_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    close(fd);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN);
    zsys_handler_set(NULL); /* Ctrl-C ends the program, unless a container is attached */
    return dispatch(argc, argv);
}

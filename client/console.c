/* The terminal on standard input while a container's terminal is shown on it. */
#include "client/console.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios console_saved;
static volatile sig_atomic_t console_changed;

bool console_is_there(void)
{
    return isatty(STDIN_FILENO);
}

bool console_is_closed(void)
{
    struct winsize size;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        if (ioctl(fd, TIOCGWINSZ, &size) && errno == EIO)
            return true;
    return false;
}

void console_restore(void)
{
    if (!console_changed)
        return;
    console_changed = 0;
    /* From a background process this would stop us with the terminal still raw. */
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGTTOU);
    sigprocmask(SIG_BLOCK, &block, &before);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &console_saved);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* The handler is gone by SA_RESETHAND: the signal that comes again has its usual effect. */
static void on_crash(int number)
{
    console_restore();
    raise(number);
}

status_code_t console_raw(status_t *st)
{
    static const int crashes[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    static bool registered;
    if (tcgetattr(STDIN_FILENO, &console_saved))
        return status_errno(st, errno, "read the terminal's settings");
    if (!registered) {
        struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};
        for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
            sigaction(crashes[i], &action, NULL);
        atexit(console_restore);
        registered = true;
    }
    struct termios raw = console_saved;
    cfmakeraw(&raw);
    console_changed = 1;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw))
        return status_errno(st, errno, "set the terminal to raw mode");
    return STATUS_OK;
}

bool console_size(uint32_t *width, uint32_t *height)
{
    struct winsize size;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
        return false;
    *width = size.ws_col;
    *height = size.ws_row;
    return true;
}

/* Words to the service manager, by sd_notify(3)'s protocol. It is one datagram, so libsystemd is
 * not needed for it. */
#ifndef SHIMD_NOTIFY_H
#define SHIMD_NOTIFY_H

/* Sends `words` ("READY=1") to NOTIFY_SOCKET. Does nothing when there is none; never blocks. A
 * datagram that cannot be sent is logged, since a unit of Type=notify would wait for it. */
void notify_manager(const char *words);

#endif

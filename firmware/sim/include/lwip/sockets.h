// lwIP's sockets: the PC's, as slow and as unreliable as the simulated Wi-Fi is.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>

ssize_t lwip_recv(int socket, void* data, size_t size, int flags);
ssize_t lwip_send(int socket, const void* data, size_t size, int flags);
int lwip_select(int sockets, fd_set* read, fd_set* write, fd_set* except, timeval* time);
int lwip_setsockopt(int socket, int level, int name, const void* value, socklen_t size);
int lwip_shutdown(int socket, int how);

// TCP as the simulated Wi-Fi lets it through: nobody is reachable without it, it is as slow as it
// was told to be, and a socket's send buffer is as small as the board's.
#pragma once

#include <cJSON.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace sim::net {

enum Port { kWebSocket, kHttp, kPorts };

// Bind both ports, without listening yet: nobody else gets them, not even during a restart.
// False: one is taken.
bool reserve();
int number(Port port);

// The program wants to be connected to.
void listen(Port port);
int listener(Port port);  // to wait on; -1 while nobody can connect
int accept(Port port);    // -1: nobody is there
bool all_listen();

// Whether packets come through, as of now.
void reach(bool reachable);
// Reset all connections.
void cut();
void set_rate(int bytes_per_second);

// None of these waits. -1 with errno EWOULDBLOCK: not now.
ssize_t receive(int fd, void* data, size_t size);
ssize_t send(int fd, const void* data, size_t size);
void close(int fd);
// Until there is something to read, or room to write, or the clock shows `until`.
bool wait_to_read(int fd, int64_t until);
bool wait_to_send(int fd, int64_t until);

void tell(cJSON* state);

}  // namespace sim::net

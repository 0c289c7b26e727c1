#include "network.h"

#include <WiFi.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lwip/sockets.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "defaults.h"
#include "sim.h"

namespace sim::net {
namespace {

// As lwIP has them on a board (sdkconfig.h of both cores).
constexpr int kSendBuffer = 5760;
constexpr int kSegment = 1436;

constexpr int kBacklog = 16;
constexpr int64_t kLook = 50 * kMs;  // how often a wait looks whether the clock has jumped

struct Door {
  int* reserved;  // bound, and never listening
  int listening = -1;
  bool wanted = false;
};

std::mutex mutex;
Door doors[kPorts] = {{&boot.ws}, {&boot.http}};
std::map<int, Port> connections;
bool through = false;  // packets come through

int rate = 0;
double allowance = 0;  // bytes that may be sent now
int64_t allowed_at = 0;

sockaddr_in address(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, options.host.c_str(), &address.sin_addr);
  return address;
}

template <typename Value>
void set(int fd, int level, int name, Value value) {
  setsockopt(fd, level, name, &value, sizeof value);
}

int bound(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  const sockaddr_in where = address(port);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0) return fd;
  ::close(fd);
  return -1;
}

// Whoever connects while a door is shut is refused.
void open_or_shut(Port port) {
  Door& door = doors[port];
  if (door.wanted && through && door.listening < 0) {
    door.listening = bound(number(port));
    // Inherited by what is accepted; so small, they have to be there before it is.
    set(door.listening, SOL_SOCKET, SO_SNDBUF, kSendBuffer);
    set(door.listening, IPPROTO_TCP, TCP_MAXSEG, kSegment);
    ::listen(door.listening, kBacklog);
  } else if (!through && door.listening >= 0) {
    ::close(door.listening);
    door.listening = -1;
  }
}

// How many of `size` bytes the air has room for.
size_t allowed(size_t size) {
  if (rate == 0) return size;
  const int64_t time = now();
  allowance = std::min<double>(kSendBuffer,
                               allowance + static_cast<double>(time - allowed_at) * rate / kSecond);
  allowed_at = time;
  return std::min(size, static_cast<size_t>(std::max(allowance, 0.0)));
}

int64_t wait_for_air() {
  const std::lock_guard<std::mutex> lock(mutex);
  if (rate == 0 || allowed(kSegment) == kSegment) return 0;
  return static_cast<int64_t>((kSegment - allowance) * kSecond / rate);
}

bool wait(int fd, short events, int64_t until) {
  for (int64_t left; (left = until - now()) > 0;) {
    if (events == POLLOUT) {
      if (const int64_t air = wait_for_air()) {
        sleep_until(now() + std::min({air, left, kLook}));
        continue;
      }
    }
    pollfd wanted = {fd, events, 0};
    const timespec time = {0, std::min(left, kLook) * 1000};
    if (ppoll(&wanted, 1, &time, nullptr) > 0) return true;
  }
  return false;
}

}  // namespace

bool reserve() {
  if (boot.ws < 0) boot.ws = bound(options.ws_port);
  if (boot.http < 0) boot.http = bound(options.http_port);
  allowed_at = now();
  rate = options.link_rate;
  return boot.ws >= 0 && boot.http >= 0;
}

int number(Port port) {
  sockaddr_in where = {};
  socklen_t size = sizeof where;
  getsockname(*doors[port].reserved, reinterpret_cast<sockaddr*>(&where), &size);
  return ntohs(where.sin_port);
}

void listen(Port port) {
  const std::lock_guard<std::mutex> lock(mutex);
  doors[port].wanted = true;
  open_or_shut(port);
}

int listener(Port port) {
  const std::lock_guard<std::mutex> lock(mutex);
  return doors[port].listening;
}

int accept(Port port) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (doors[port].listening < 0) return -1;
  const int fd = accept4(doors[port].listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) connections[fd] = port;
  return fd;
}

bool all_listen() {
  const std::lock_guard<std::mutex> lock(mutex);
  return std::all_of(doors, doors + kPorts, [](const Door& door) { return door.listening >= 0; });
}

void reach(bool reachable) {
  const std::lock_guard<std::mutex> lock(mutex);
  through = reachable;
  for (const Port port : {kWebSocket, kHttp}) open_or_shut(port);
}

void cut() {
  const std::lock_guard<std::mutex> lock(mutex);
  const sockaddr nowhere = {AF_UNSPEC, {}};
  // Linux's way to reset a connection and leave its number to who has it.
  for (const auto& [fd, port] : connections) ::connect(fd, &nowhere, sizeof nowhere);
}

void set_rate(int bytes_per_second) {
  const std::lock_guard<std::mutex> lock(mutex);
  rate = bytes_per_second;
  allowance = 0;
  allowed_at = now();
}

ssize_t receive(int fd, void* data, size_t size) { return recv(fd, data, size, MSG_DONTWAIT); }

ssize_t send(int fd, const void* data, size_t size) {
  const std::lock_guard<std::mutex> lock(mutex);
  const size_t now = allowed(size);
  if (now == 0 && size > 0) {
    errno = EWOULDBLOCK;
    return -1;
  }
  const ssize_t sent = ::send(fd, data, now, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent > 0 && rate > 0) allowance -= static_cast<double>(sent);
  return sent;
}

void close(int fd) {
  const std::lock_guard<std::mutex> lock(mutex);
  connections.erase(fd);
  ::close(fd);
}

bool wait_to_read(int fd, int64_t until) { return wait(fd, POLLIN, until); }
bool wait_to_send(int fd, int64_t until) { return wait(fd, POLLOUT, until); }

void tell(cJSON* state) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto count = [](Port port) {
    return std::count_if(connections.begin(), connections.end(),
                         [&](const auto& connection) { return connection.second == port; });
  };
  cJSON_AddNumberToObject(state, "sockets", static_cast<double>(count(kWebSocket)));
  cJSON_AddNumberToObject(state, "http_sockets", static_cast<double>(count(kHttp)));
}

}  // namespace sim::net

// --- lwIP. Nothing of it waits, but for lwip_select().

namespace net = sim::net;

ssize_t lwip_recv(int socket, void* data, size_t size, int) {
  return net::receive(socket, data, size);
}

ssize_t lwip_send(int socket, const void* data, size_t size, int) {
  return net::send(socket, data, size);
}

int lwip_setsockopt(int socket, int level, int name, const void* value, socklen_t size) {
  return setsockopt(socket, level, name, value, size);
}

int lwip_shutdown(int socket, int how) { return shutdown(socket, how); }

// For one socket to be written to: that is all that the firmware asks of it.
int lwip_select(int sockets, fd_set*, fd_set* write, fd_set*, timeval* time) {
  const int fd = sockets - 1;
  if (write == nullptr || !FD_ISSET(fd, write)) return -1;
  const int64_t until = sim::now() + time->tv_sec * sim::kSecond + time->tv_usec;
  return net::wait_to_send(fd, until) ? 1 : 0;
}

// --- Arduino.

class WiFiClient::Socket {
 public:
  explicit Socket(int fd) : fd(fd) {}
  ~Socket() { net::close(fd); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  const int fd;
};

WiFiClient::WiFiClient(int fd) : socket_(std::make_shared<Socket>(fd)) {}

int WiFiClient::fd() const { return socket_ == nullptr ? -1 : socket_->fd; }

size_t WiFiClient::write(const uint8_t* data, size_t size) {
  constexpr int kTries = 10;
  size_t sent = 0;
  for (int left = kTries; left > 0 && sent < size && connected(); --left) {
    if (!net::wait_to_send(fd(), sim::now() + sim::kSecond)) continue;
    const ssize_t put = net::send(fd(), data + sent, size - sent);
    if (put > 0) {
      sent += static_cast<size_t>(put);
      left = kTries + 1;
    }
  }
  return sent;
}

int WiFiClient::available() {
  uint8_t bytes[2048];
  const ssize_t there = recv(fd(), bytes, sizeof bytes, MSG_DONTWAIT | MSG_PEEK);
  return there > 0 ? static_cast<int>(there) : 0;
}

int WiFiClient::read() {
  uint8_t byte;
  return read(&byte, 1) == 1 ? byte : -1;
}

int WiFiClient::read(uint8_t* buffer, size_t size) {
  const ssize_t got = net::receive(fd(), buffer, size);
  return got > 0 ? static_cast<int>(got) : -1;
}

int WiFiClient::peek() {
  uint8_t byte;
  return recv(fd(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1 ? byte : -1;
}

void WiFiClient::stop() { socket_.reset(); }

uint8_t WiFiClient::connected() {
  if (socket_ == nullptr) return false;
  uint8_t byte;
  const ssize_t there = recv(fd(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
  return there > 0 || (there < 0 && (errno == EWOULDBLOCK || errno == EINTR));
}

int WiFiClient::setNoDelay(bool no_delay) {
  const int value = no_delay;
  return setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &value, sizeof value);
}

namespace {

sockaddr_in peer(int fd) {
  sockaddr_in where = {};
  socklen_t size = sizeof where;
  getpeername(fd, reinterpret_cast<sockaddr*>(&where), &size);
  return where;
}

}  // namespace

IPAddress WiFiClient::remoteIP() const { return IPAddress(peer(fd()).sin_addr.s_addr); }
uint16_t WiFiClient::remotePort() const { return ntohs(peer(fd()).sin_port); }

// The firmware has one such server, the WebSocket's; where it listens here is up to the options.
void WiFiServer::begin(uint16_t port) {
  if (port != 0) port_ = port;
  static_assert(WEBSOCKET_PORT != HTTP_PORT, "they are told apart by their numbers");
  if (port_ == WEBSOCKET_PORT) net::listen(net::kWebSocket);
}

bool WiFiServer::hasClient() {
  if (accepted_ < 0) accepted_ = net::accept(net::kWebSocket);
  return accepted_ >= 0;
}

WiFiClient WiFiServer::accept() {
  if (!hasClient()) return WiFiClient();
  WiFiClient client(accepted_);
  accepted_ = -1;
  if (no_delay_) client.setNoDelay(true);
  return client;
}

void WiFiServer::end() {}

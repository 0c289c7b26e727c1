#include "client.h"

#include <errno.h>
#include <esp_timer.h>
#include <lwip/sockets.h>

#include <algorithm>

namespace {

bool not_yet(int error) { return error == EWOULDBLOCK || error == EAGAIN || error == EINTR; }

}  // namespace

// WiFiClient's own reading has a buffer that hides when the other side is gone, so this goes to
// the socket.
void GatedClient::receive() {
  uint8_t bytes[256];
  while (alive_ && gate_.room() > 0) {
    const auto got = lwip_recv(fd(), bytes, std::min(sizeof bytes, gate_.room()), MSG_DONTWAIT);
    if (got < 0 && not_yet(errno)) return;
    if (got <= 0) {
      alive_ = false;
    } else {
      gate_.put(bytes, static_cast<size_t>(got));
    }
  }
}

void GatedClient::discard() {
  constexpr int kReads = 8;  // at once; whoever sends faster is not waited for
  uint8_t bytes[256];
  for (int i = 0; alive_ && i < kReads; ++i) {
    const auto got = lwip_recv(fd(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && not_yet(errno)) return;
    if (got <= 0) alive_ = false;
  }
}

void GatedClient::hold(bool hold) {
  constexpr int kControl = 0x08;  // the bit that control frames' opcodes have (RFC 6455, 5.5)
  held_ = hold && !(gate_.whole() > 0 && (gate_.peek() & kControl));
}

void GatedClient::allow(camcore::Micros time) { deadline_ = esp_timer_get_time() + time; }

void GatedClient::cut() {
  const linger now = {1, 0};
  lwip_setsockopt(fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);  // where lwIP was built with it
  stop();
}

void GatedClient::finish() { lwip_shutdown(fd(), SHUT_WR); }

int GatedClient::read() {
  uint8_t byte;
  return read(&byte, 1) == 1 ? byte : -1;
}

int GatedClient::read(uint8_t* out, size_t size) {
  const size_t taken = gate_.take(out, size);
  return taken > 0 ? static_cast<int>(taken) : -1;
}

void GatedClient::stop() {
  alive_ = false;
  gate_ = camcore::Gate();
  WiFiClient::stop();
}

size_t GatedClient::write(const uint8_t* data, size_t size) {
  size_t sent = 0;
  // What it had said before it left is of no use then, and the library, which still takes it for
  // connected, would try for five seconds.
  if (!alive_) stop();
  while (alive_ && sent < size) {
    const auto put = lwip_send(fd(), data + sent, size - sent, MSG_DONTWAIT);
    if (put > 0) {
      sent += static_cast<size_t>(put);
    } else if (errno == ENOMEM) {
      delay(1);  // lwIP's own buffers are full, though this socket's are not
      if (esp_timer_get_time() > deadline_) cut();
    } else if (!not_yet(errno) || !wait_for_room()) {
      cut();
    }
  }
  return sent;
}

bool GatedClient::wait_for_room() {
  const camcore::Micros left = deadline_ - esp_timer_get_time();
  if (left <= 0) return false;
  timeval time = {};
  time.tv_sec = left / camcore::kSecond;
  time.tv_usec = left % camcore::kSecond;
  fd_set sockets;
  FD_ZERO(&sockets);
  FD_SET(fd(), &sockets);
  return lwip_select(fd() + 1, nullptr, &sockets, nullptr, &time) > 0;
}

// The serial line: standard input and output, or a log on standard error.
#include <Arduino.h>
#include <poll.h>
#include <unistd.h>

#include <deque>
#include <string>

#include "sim.h"

namespace {

std::deque<uint8_t> received;
std::string line;  // of the log: written whole, so that it doesn't mix with what others write

void write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(fd, data, size);
    if (written <= 0) return;  // nobody listens
    data += written;
    size -= static_cast<size_t>(written);
  }
}

}  // namespace

HardwareSerial Serial;

void HardwareSerial::begin(unsigned long) {}

int HardwareSerial::available() {
  static bool ended = !sim::options.serial;
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  while (!ended && received.size() < 256 && poll(&input, 1, 0) > 0) {
    uint8_t bytes[256];
    const ssize_t got = ::read(STDIN_FILENO, bytes, sizeof bytes);
    ended = got <= 0;
    if (!ended) received.insert(received.end(), bytes, bytes + got);
  }
  return static_cast<int>(received.size());
}

int HardwareSerial::read() {
  if (available() == 0) return -1;
  const uint8_t byte = received.front();
  received.pop_front();
  return byte;
}

int HardwareSerial::peek() { return available() > 0 ? received.front() : -1; }

size_t HardwareSerial::write(uint8_t byte) { return write(&byte, 1); }

size_t HardwareSerial::write(const uint8_t* data, size_t size) {
  const char* const text = reinterpret_cast<const char*>(data);
  if (sim::options.serial) {
    write_all(STDOUT_FILENO, text, size);
    return size;
  }
  line.append(text, size);
  const size_t end = line.rfind('\n');
  if (end != std::string::npos) {
    write_all(STDERR_FILENO, line.data(), end + 1);
    line.erase(0, end + 1);
  }
  return size;
}

void HardwareSerial::flush() {}

// The gate: bytes as they drip in, a whole handshake or frame out. What the library would read
// otherwise is in test_gate_library.cpp.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "camcore/gate.h"

using camcore::Gate;
using camcore::kMaxMessage;
using camcore::kMaxRequest;
using State = camcore::Gate::State;

namespace {

const std::string kHandshake =
    "GET /v1 HTTP/1.1\r\nHost: 192.0.2.7\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

void put(Gate& gate, const std::string& bytes) {
  gate.put(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::string take(Gate& gate, size_t size = SIZE_MAX) {
  std::string out(std::min(size, gate.whole()), '\0');
  const size_t taken = gate.take(reinterpret_cast<uint8_t*>(out.data()), out.size());
  CHECK(taken == out.size());
  return out;
}

Gate greeted() {
  Gate gate;
  put(gate, kHandshake);
  take(gate);
  return gate;
}

std::string frame(uint8_t first, const std::string& payload, bool masked = true) {
  std::string bytes(1, static_cast<char>(first));
  const auto bit = static_cast<uint8_t>(masked ? 0x80 : 0);
  if (payload.size() < 126) {
    bytes += static_cast<char>(bit | payload.size());
  } else {
    bytes += static_cast<char>(bit | 126);
    bytes += static_cast<char>(payload.size() >> 8);
    bytes += static_cast<char>(payload.size() & 0xff);
  }
  if (masked) bytes += std::string(4, '\0');
  return bytes + payload;
}

}  // namespace

TEST_CASE("a handshake goes through when its last byte is here, and not before") {
  Gate gate;
  for (size_t i = 0; i < kHandshake.size(); ++i) {
    CHECK(gate.state() == State::kWaiting);
    CHECK(gate.whole() == 0);
    CHECK(gate.peek() == -1);
    put(gate, kHandshake.substr(i, 1));
  }
  CHECK(gate.state() == State::kWhole);
  CHECK(gate.is_websocket());
  CHECK(gate.path() == "/v1");
  CHECK_FALSE(gate.greeted());
  CHECK(gate.peek() == 'G');
  CHECK(take(gate, 10) == kHandshake.substr(0, 10));
  CHECK_FALSE(gate.greeted());
  CHECK(take(gate) == kHandshake.substr(10));
  CHECK(gate.greeted());
}

TEST_CASE("what is no request for a WebSocket is known for it") {
  for (const std::string& missing :
       {std::string("Upgrade: websocket\r\n"), std::string("Connection: Upgrade\r\n"),
        std::string("Sec-WebSocket-Version: 13\r\n"),
        std::string("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")}) {
    CAPTURE(missing);
    std::string request = kHandshake;
    Gate gate;
    put(gate, request.erase(request.find(missing), missing.size()));
    CHECK(gate.state() == State::kWhole);
    CHECK_FALSE(gate.is_websocket());
  }
  for (const char* stranger :
       {"POST / HTTP/1.1\r\n", "\x16\x03\x01", "SSH-2.0-x\r\n", "\n", "get "}) {
    Gate gate;
    put(gate, stranger);
    CHECK(gate.state() == State::kBroken);
    CHECK(gate.room() == 0);
  }
}

TEST_CASE("the original script's handshake is let in, as are browsers'") {
  std::string browser = kHandshake;
  browser.replace(browser.find("Connection: Upgrade"), 19, "connection: keep-alive, UPGRADE");
  Gate gate;
  put(gate, browser.replace(browser.find("Upgrade: websocket"), 18, "UPGRADE: WebSocket"));
  CHECK(gate.is_websocket());
}

TEST_CASE("a request that never ends is given up, and no more than it may have is taken in") {
  Gate gate;
  put(gate, "GET / HTTP/1.1\r\nX: ");
  size_t taken = 0;
  while (gate.room() > 0) {
    taken += gate.room();
    put(gate, std::string(gate.room(), 'x'));
  }
  CHECK(gate.state() == State::kTooLong);
  CHECK(taken < kMaxRequest);
}

TEST_CASE("a frame goes through when it is whole, whatever its length is coded as") {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{125}, size_t{126}, kMaxMessage}) {
    CAPTURE(size);
    Gate gate = greeted();
    const std::string bytes = frame(0x81, std::string(size, 'x'));
    for (size_t i = 0; i + 1 < bytes.size(); ++i) {
      put(gate, bytes.substr(i, 1));
      REQUIRE(gate.whole() == 0);
    }
    put(gate, bytes.substr(bytes.size() - 1));
    CHECK(take(gate) == bytes);
    CHECK(gate.state() == State::kWaiting);
  }
}

TEST_CASE("frames that came together go through one at a time, also behind the handshake") {
  const std::string first = frame(0x81, "capture"), second = frame(0x89, "ping");
  Gate gate;
  put(gate, kHandshake + first + second.substr(0, 3));
  CHECK(take(gate) == kHandshake);
  CHECK(take(gate) == first);
  CHECK(gate.whole() == 0);
  put(gate, second.substr(3));
  CHECK(take(gate) == second);
}

TEST_CASE("a message that is too long is refused by its header alone") {
  Gate gate = greeted();
  put(gate, std::string("\x81\xfe\x08\x01", 4));  // 2,049 bytes
  CHECK(gate.state() == State::kTooLong);
  gate = greeted();
  put(gate, std::string("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 10));
  CHECK(gate.state() == State::kTooLong);
  gate = greeted();
  put(gate, std::string("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10));
  CHECK(gate.state() == State::kTooLong);
}

TEST_CASE("what is no client's frame breaks the connection") {
  for (const std::string& bytes : {
           frame(0x81, "x", false),  // not masked
           frame(0xC1, "x"),         // a reserved bit
           frame(0x83, "x"),         // an unknown opcode, and one among the control frames
           frame(0x8B, "x"),         //
           frame(0x09, "x"),         // a ping in parts
           frame(0x89, std::string(126, 'x'))  // a ping that is too long
       }) {
    Gate gate = greeted();
    put(gate, bytes);
    CHECK(gate.state() == State::kBroken);
    CHECK(gate.whole() == 0);
  }
}

TEST_CASE(
    "whatever comes, in whatever pieces, the gate stays bounded and lets nothing half through") {
  std::mt19937 random(20261126);
  const auto upto = [&](size_t n) { return random() % (n + 1); };
  for (int round = 0; round < 20'000; ++round) {
    Gate gate = upto(1) ? greeted() : Gate();
    std::string bytes = gate.greeted()
                            ? frame(static_cast<uint8_t>(random()), std::string(upto(300), 'x'))
                            : kHandshake;
    for (size_t i = upto(4); i > 0; --i)
      bytes[upto(bytes.size() - 1)] = static_cast<char>(random());
    if (upto(3) == 0) bytes += frame(0x81, "capture");
    size_t at = 0;
    while (at < bytes.size() && gate.room() > 0) {
      const size_t size = std::min({upto(40) + 1, bytes.size() - at, gate.room()});
      put(gate, bytes.substr(at, size));
      at += size;
      while (gate.whole() > 0) {
        const size_t whole = gate.whole();
        REQUIRE(whole <= kMaxMessage + 14);
        REQUIRE(take(gate, upto(whole) + 1).size() > 0);
      }
    }
    REQUIRE(gate.room() <= kMaxMessage + 14);
  }
}

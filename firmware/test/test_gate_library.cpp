// What the gate lets through as one request, the library must not take for another, or for less: it
// ends a line at every \n, and the header at the first line of blanks.
#include <doctest/doctest.h>

#include <string>

#include "camcore/gate.h"

namespace {

std::string request(const std::string& more) {
  return "GET /v1 HTTP/1.1\r\nHost: 192.0.2.7\r\n" + more +
         "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
}

bool is_let_in(const std::string& bytes) {
  camcore::Gate gate;
  gate.put(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return gate.state() == camcore::Gate::State::kWhole && gate.is_websocket();
}

}  // namespace

TEST_CASE("an ordinary handshake is let in, tabs and all") {
  CHECK(is_let_in(request("")));
  CHECK(is_let_in(request("X:\tone\ttwo \r\n")));
}

TEST_CASE("a second request behind a lone line feed is not let in") {
  CHECK_FALSE(is_let_in(request("X: a\nGET / HTTP/1.1\r\n")));
  std::string first = request("");
  CHECK_FALSE(is_let_in(first.replace(7, 1, "\n")));
}

TEST_CASE("a header that the library would take to end early is not let in") {
  for (const char* blank : {"X: a\n\n", "  \r\n", "\t\r\n", "\v\r\n", "\f\r\n", "\r\r\n"}) {
    CAPTURE(blank);
    CHECK_FALSE(is_let_in(request(blank)));
  }
}

TEST_CASE("a NUL in a handshake is not let in") {
  CHECK_FALSE(is_let_in(request(std::string("X: a\0b\r\n", 8))));
}

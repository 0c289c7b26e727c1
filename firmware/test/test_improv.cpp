#include <doctest/doctest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "camcore/improv.h"

using namespace camcore;

namespace {

using Kind = ImprovCommand::Kind;
using Events = std::vector<ImprovReader::Event>;

std::string packet(char type, const std::string& data) {
  std::string text = "IMPROV\x01";
  text += type;
  text += static_cast<char>(data.size());
  text += data;
  unsigned sum = 0;
  for (const char c : text) sum += static_cast<uint8_t>(c);
  return text + static_cast<char>(sum & 0xff) + "\n";
}

std::string command(char number, const std::string& data = {}) {
  return packet(3, std::string{number, static_cast<char>(data.size())} + data);
}

std::string counted(const std::string& text) { return static_cast<char>(text.size()) + text; }

Events put(ImprovReader& reader, std::string_view bytes) {
  Events events;
  for (const char byte : bytes) {
    if (auto event = reader.put(static_cast<uint8_t>(byte))) events.push_back(std::move(*event));
  }
  return events;
}

Events read(std::string_view bytes) {
  ImprovReader reader;
  return put(reader, bytes);
}

bool is(const Events& events, Kind kind) {
  return events.size() == 1 && events[0].command && events[0].command->kind == kind &&
         events[0].error == ImprovError::kNone;
}

bool is(const Events& events, ImprovError error) {
  return events.size() == 1 && !events[0].command && events[0].error == error;
}

}  // namespace

TEST_CASE("the published example is understood") {
  const std::string data = "\x01\x1e\x0cMyWirelessAP\x10mysecurepassword";
  const Events events = read(packet(3, data));
  REQUIRE(is(events, Kind::kSendWifi));
  CHECK(events[0].command->credentials.ssid == "MyWirelessAP");
  CHECK(events[0].command->credentials.password == "mysecurepassword");
}

TEST_CASE("an open network has no password") {
  const Events events = read(command(1, counted("Büro") + counted("")));
  REQUIRE(is(events, Kind::kSendWifi));
  CHECK(events[0].command->credentials.ssid == "Büro");
  CHECK(events[0].command->credentials.password.empty());
}

TEST_CASE("the commands without data are understood") {
  CHECK(is(read(command(2)), Kind::kGetState));
  CHECK(is(read(command(3)), Kind::kGetInfo));
  CHECK(is(read(command(4)), Kind::kScan));
}

TEST_CASE("no line end is waited for") {
  std::string bytes = command(2);
  bytes.pop_back();
  CHECK(is(read(bytes), Kind::kGetState));
}

TEST_CASE("a command that is none of ours is unknown, whatever is in it") {
  for (const char number : {'\x00', '\x05', '\x06', '\x63', '\xff'}) {
    CHECK(is(read(command(number)), ImprovError::kUnknownCommand));
    CHECK(is(read(command(number, std::string(253, 'x'))), ImprovError::kUnknownCommand));
  }
}

TEST_CASE("a packet that is broken is invalid") {
  std::string flipped = command(2);
  flipped[flipped.size() - 2] ^= 1;
  CHECK(is(read(flipped), ImprovError::kInvalid));
  for (const std::string& data : {
           std::string(),                             // no command
           std::string("\x02"),                       // no length
           std::string("\x02\x01", 2),                // less than it says
           std::string("\x02\x00x", 3),               // more than it says
           std::string("\x02\x01x"),                  // data where there is to be none
           std::string("\x01\x00", 2),                // no SSID
           std::string("\x01\x05\x04home", 7),        // no password
           std::string("\x01\x06\x04home\x08", 8),    // half of it
           std::string("\x01\x03\xffho"),             // a length beyond the end
           std::string("\x01\x07\x04home\x00x", 9),   // something behind it
           std::string("\x01\x0b\x04home\x05short"),  // no WPA password
           std::string("\x01\x0a\x00\x08"
                       "12345678",
                       12),                            // an SSID of nothing
           std::string("\x01\x06\x04ho\x00e\x00", 8),  // a NUL in it
       }) {
    CAPTURE(data);
    CHECK(is(read(packet(3, data)), ImprovError::kInvalid));
  }
}

TEST_CASE("what is no command of Improv's is skipped without a word") {
  for (const std::string& bytes :
       {std::string("password\r\n"), std::string("IMPROV"), std::string("IMPROV\x02\x03\x00\x00"),
        std::string(1000, 'I'), std::string(1000, '\0'), improv_state(ImprovState::kReady),
        improv_error(ImprovError::kInvalid), improv_result(Kind::kGetInfo, {"a", "b", "c", "d"})}) {
    ImprovReader reader;
    CHECK(put(reader, bytes).empty());
    CHECK(is(put(reader, command(2)), Kind::kGetState));
  }
}

TEST_CASE("a header that begins within another beginning is found") {
  for (const char* start : {"I", "II", "IMPROVI", "IMPRIMPROV", "IMPROV\x01I", "xIMPROV\x01"}) {
    CHECK(is(read(start + command(3)), Kind::kGetInfo));
  }
}

TEST_CASE("a packet that was cut short does not swallow the next one") {
  const std::string whole = command(1, counted("home") + counted("sesame-sesame"));
  for (size_t cut = 0; cut + 2 < whole.size(); ++cut) {
    CAPTURE(cut);
    CHECK(is(read(whole.substr(0, cut) + command(4)), Kind::kScan));
  }
}

TEST_CASE("packets that follow one another are each answered") {
  const Events events = read(command(2) + command(99) + "a log line\r\n" + command(3));
  REQUIRE(events.size() == 3);
  CHECK(events[0].command->kind == Kind::kGetState);
  CHECK(events[1].error == ImprovError::kUnknownCommand);
  CHECK(events[2].command->kind == Kind::kGetInfo);
}

TEST_CASE("what is sent is as published") {
  CHECK(improv_state(ImprovState::kReady) == packet(1, "\x02"));
  CHECK(improv_state(ImprovState::kProvisioned) == packet(1, "\x04"));
  CHECK(improv_error(ImprovError::kNone) == packet(2, std::string(1, '\0')));
  CHECK(improv_error(ImprovError::kUnknown) == packet(2, "\xff"));
  CHECK(improv_result(Kind::kSendWifi, {"http://192.0.2.7/"}) ==
        packet(4, "\x01\x12\x11http://192.0.2.7/"));
  CHECK(improv_result(Kind::kScan, {}) == packet(4, std::string("\x04\x00", 2)));
  CHECK(improv_result(Kind::kScan, {"home", "-60", "YES"}) ==
        packet(4, "\x04\x0d\x04home\x03-60\x03YES"));
}

TEST_CASE("a checksum goes over all bytes before it") {
  const std::string state = improv_state(ImprovState::kReady);
  CHECK(state == std::string("IMPROV\x01\x01\x01\x02\xe2\n"));
}

TEST_CASE("strings that don't fit into a packet are cut between characters") {
  const std::string long_one(300, 'x');
  std::string result = improv_result(Kind::kGetInfo, {long_one, "more"});
  CHECK(result.size() == 9 + 255 + 2);
  CHECK(result == packet(4, "\x03\xfd\xfc" + std::string(252, 'x')));
  result = improv_result(Kind::kGetInfo, {std::string(251, 'x') + "☕"});
  CHECK(result == packet(4, "\x03\xfc\xfb" + std::string(251, 'x')));
}

TEST_CASE("a hundred thousand random streams do no harm, and a command after each is understood") {
  std::mt19937 random(1);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  const std::string pieces[] = {"IMPROV", "IMPROV\x01", "IMPROV\x01\x03", "\n",
                                command(1, counted("home") + counted("sesame-sesame"))};
  int answered = 0;
  for (int i = 0; i < 100'000; ++i) {
    ImprovReader reader;
    std::string bytes;
    while (pick(0, 7)) {
      switch (pick(0, 2)) {
        case 0:
          bytes += pieces[pick(0, 4)];
          break;
        case 1:
          for (int n = pick(0, 12); n > 0; --n) bytes += static_cast<char>(pick(0, 255));
          break;
        default:
          if (!bytes.empty()) bytes[pick(0, static_cast<int>(bytes.size()) - 1)] ^= 1 << pick(0, 7);
      }
    }
    for (const ImprovReader::Event& event : put(reader, bytes)) {
      ++answered;
      REQUIRE((event.error == ImprovError::kNone) == event.command.has_value());
      if (event.command && event.command->kind == Kind::kSendWifi) {
        REQUIRE_FALSE(check(event.command->credentials));
      }
    }
    const Events last = put(reader, "\n" + command(2));
    REQUIRE(!last.empty());
    REQUIRE(last.back().command);
    REQUIRE(last.back().command->kind == Kind::kGetState);
  }
  CHECK(answered > 10'000);
}

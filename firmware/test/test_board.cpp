// The board as its clients see it: what they send in, what comes back, over links that keep it.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "camcore/auth.h"
#include "camcore/board.h"
#include "camcore/json.h"
#include "fakes.h"

using namespace camcore;
using namespace fakes;

namespace {

constexpr Micros kDay = 24 * 3600 * kSecond;
constexpr Micros kLongest = 20 * kSecond;  // more than a capture takes, whatever fails

struct Rig {
  explicit Rig(const std::string& key = {}, bool allow_legacy = false) {
    save_access(store, {"correct horse", key, allow_legacy});
    board.begin();
  }

  Wire& join(int slot, const char* path = "/v1") {
    links[slot] = std::make_unique<Wire>();
    board.opened(slot, path, *links[slot]);
    return *links[slot];
  }
  void leave(int slot) {
    board.closed(slot);
    links[slot].reset();
  }
  void say(int slot, std::string_view text, Board::Kind kind = Board::Kind::kText) {
    const auto* data = reinterpret_cast<const uint8_t*>(text.data());
    board.heard(slot, kind, text.empty() ? nullptr : data, text.size());
  }
  void round() {
    board.loop();
    clock.time += kMillisecond;
  }
  // Until nothing is left to be answered.
  void settle(int slot) {
    for (const Micros end = clock.time + kLongest; board.busy(slot);) {
      REQUIRE(clock.time < end);
      round();
    }
  }
  // The one text that comes of it.
  std::string ask(int slot, std::string_view text, Board::Kind kind = Board::Kind::kText) {
    Wire& wire = *links[slot];
    const size_t before = wire.texts.size();
    say(slot, text, kind);
    settle(slot);
    REQUIRE(wire.texts.size() == before + 1);
    return wire.texts.back();
  }

  Clock clock;
  MapStore store;
  NoLed led;
  Camera camera{clock};
  Board board{camera, led, store, clock, {"esp32cam-1a2b3c", "1.0.0", "ai-thinker", true}};
  std::unique_ptr<Wire> links[kSlots];
};

// Nobody reads at the other end. The shell cuts such a client off after five seconds.
struct Slow : Wire {
  explicit Slow(Clock& clock) : clock(clock) {}
  bool text(std::string_view) override {
    clock.time += 5 * kSecond;
    return false;
  }
  Clock& clock;
};

std::string value(const std::string& message, const char* key) {
  const auto parsed = parse_object(message);
  REQUIRE_MESSAGE(std::holds_alternative<Json>(parsed), message);
  const cJSON* found = member(std::get<Json>(parsed).get(), key);
  if (found == nullptr) return "";
  return cJSON_IsString(found) ? found->valuestring : quoted(found, 200);
}

std::string error_of(const std::string& message) {
  CHECK(value(message, "type") == "error");
  CHECK_FALSE(value(message, "detail").empty());
  return value(message, "error");
}

std::string proof(const std::string& key, const std::string& hello) {
  return "{\"cmd\":\"auth\",\"mac\":\"" + hmac_sha256_hex(key, value(hello, "nonce")) + "\"}";
}

}  // namespace

TEST_CASE("at /v1 the board says who it is; elsewhere it says nothing") {
  Rig rig;
  const std::string hello = rig.join(0).texts.at(0);
  CHECK(value(hello, "type") == "hello");
  CHECK(value(hello, "protocol") == "1");
  CHECK(value(hello, "name") == "esp32cam-1a2b3c");
  CHECK(value(hello, "sensor") == "OV2640");
  CHECK(value(hello, "auth") == "none");
  CHECK(value(hello, "nonce").empty());
  CHECK(value(hello, "features") == R"(["framesize","quality","status","settings","restart"])");
  CHECK(rig.join(1, "/").texts.empty());
}

TEST_CASE("an old script's capture brings one picture and no text; all else nothing") {
  Rig rig;
  Wire& wire = rig.join(0, "/");
  rig.say(0, "capture");
  rig.settle(0);
  REQUIRE(wire.pictures.size() == 1);
  for (const char* text : {"Capture", "capture ", "", "{\"cmd\":\"capture\"}", "status"}) {
    rig.say(0, text);
    rig.settle(0);
  }
  rig.say(0, "capture", Board::Kind::kBinary);
  rig.say(0, "capture", Board::Kind::kFragment);
  rig.settle(0);
  CHECK(wire.pictures.size() == 1);
  CHECK(wire.texts.empty());
  CHECK(rig.camera.held == 0);
}

TEST_CASE("a capture is answered with its id, then with the picture that was announced") {
  Rig rig;
  Wire& wire = rig.join(0);
  const std::string head = rig.ask(0, R"({"cmd":"capture","id":"a 1","framesize":"VGA"})");
  CHECK(value(head, "type") == "image");
  CHECK(value(head, "id") == "a 1");
  CHECK(value(head, "width") == "640");
  REQUIRE(wire.pictures.size() == 1);
  CHECK(value(head, "bytes") == std::to_string(wire.pictures[0].size()));
  CHECK(wire.pictures[0] == jpeg(640, 480));
  CHECK(value(rig.ask(0, "capture"), "width") == "1600");  // the settings are back
  CHECK(value(wire.texts.back(), "id").empty());
}

TEST_CASE("each mistake is named, keeps its id, and costs nothing but its answer") {
  Rig rig;
  Wire& wire = rig.join(0);
  const auto asked = [&](const char* text) { return error_of(rig.ask(0, text)); };
  CHECK(asked("") == error::kBadRequest);
  CHECK(asked("hello") == error::kBadRequest);
  CHECK(asked("{}") == error::kBadRequest);
  CHECK(asked(R"({"cmd":7})") == error::kBadRequest);
  CHECK(asked(R"({"cmd":"fly"})") == error::kUnknownCommand);
  CHECK(asked(R"({"cmd":"capture","framesize":"HUGE"})") == error::kBadFramesize);
  CHECK(asked(R"({"cmd":"capture","quality":99})") == error::kBadRequest);
  CHECK(asked(R"({"cmd":"capture","flash":1})") == error::kBadRequest);
  CHECK(asked(R"({"cmd":"set","settings":[]})") == error::kBadRequest);
  CHECK(asked(R"({"cmd":"set","persist":"yes"})") == error::kBadRequest);
  CHECK(asked(R"({"cmd":"capture","id":""})") == error::kBadRequest);
  CHECK(asked(R"({"cmd":"capture","id":7})") == error::kBadRequest);
  CHECK(asked(("{\"cmd\":\"capture\",\"id\":\"" + std::string(129, 'x') + "\"}").c_str()) ==
        error::kBadRequest);
  const std::string answer = rig.ask(0, R"({"cmd":"fly","id":"b2"})");
  CHECK(value(answer, "id") == "b2");
  CHECK(error_of(rig.ask(0, "capture", Board::Kind::kBinary)) == error::kBadRequest);
  CHECK(error_of(rig.ask(0, "capture", Board::Kind::kFragment)) == error::kBadRequest);
  CHECK(wire.pictures.empty());
  CHECK(wire.close_code == 0);
}

TEST_CASE("settings hold from now on, and over a restart if they are to persist") {
  Rig rig;
  rig.join(0);
  const std::string now = rig.ask(0, R"({"cmd":"set","id":"s","settings":{"quality":20}})");
  CHECK(value(now, "type") == "settings");
  CHECK(value(now, "id") == "s");
  CHECK(value(now, "quality") == "20");
  CHECK(load_settings(rig.store).quality == 12);
  rig.ask(0, R"({"cmd":"set","settings":{"vflip":true},"persist":true})");
  CHECK(load_settings(rig.store).vflip);
  CHECK(load_settings(rig.store).quality == 12);  // was never to persist
  CHECK(value(rig.ask(0, R"({"cmd":"set"})"), "vflip") == "true");
}

TEST_CASE("requests are answered in order, a picture before what was asked behind it") {
  Rig rig;
  Wire& wire = rig.join(0);
  rig.say(0, R"({"cmd":"capture","id":"1"})");
  rig.say(0, R"({"cmd":"status","id":"2"})");
  rig.settle(0);
  REQUIRE(wire.texts.size() == 3);
  CHECK(value(wire.texts[1], "id") == "1");
  CHECK(value(wire.texts[2], "id") == "2");
  CHECK(value(wire.texts[2], "captures") == "1");
}

TEST_CASE("four captures wait, a fifth is told to come back; nobody gets another's picture") {
  Rig rig;
  for (int slot = 0; slot < kSlots; ++slot) rig.join(slot);
  for (int slot = 0; slot < kSlots; ++slot) {
    rig.say(slot, "{\"cmd\":\"capture\",\"id\":\"" + std::to_string(slot) + "\"}");
  }
  for (int slot = 0; slot < kSlots; ++slot) rig.settle(slot);
  for (int slot = 0; slot < kSlots; ++slot) {
    const Wire& wire = *rig.links[slot];
    REQUIRE(wire.texts.size() == 2);
    CHECK(value(wire.texts[1], "id") == std::to_string(slot));
    CHECK(wire.pictures.size() == (slot < kWaiting ? 1 : 0));
  }
  const std::string refused = rig.links[kWaiting]->texts[1];
  CHECK(error_of(refused) == error::kBusy);
  CHECK(value(refused, "retry_after_ms") == "200");
}

TEST_CASE("who leaves takes its captures along, and the next is not kept waiting") {
  Rig rig;
  rig.join(0);
  rig.join(1);
  rig.say(0, "capture");
  rig.say(1, "capture");
  rig.round();
  rig.round();  // the first is under way
  rig.leave(0);
  Wire& newcomer = rig.join(0);
  rig.settle(1);
  CHECK(rig.links[1]->pictures.size() == 1);
  CHECK(newcomer.pictures.empty());
  CHECK(rig.camera.held == 0);
}

TEST_CASE("a camera that fails is said to have failed, and the board goes on") {
  Rig rig;
  rig.camera.broken = true;
  Wire& wire = rig.join(0);
  CHECK(error_of(rig.ask(0, "capture")) == error::kCameraFailed);
  CHECK(value(rig.ask(0, R"({"cmd":"status"})"), "camera_fault") == "no camera was found");
  rig.camera.broken = false;
  rig.ask(0, "capture");
  CHECK(wire.pictures.size() == 1);
}

TEST_CASE("without memory to send it no picture is taken") {
  Rig rig;
  Wire& wire = rig.join(0);
  rig.clock.has.largest_block = 4'000;
  CHECK(error_of(rig.ask(0, "capture")) == error::kLowMemory);
  rig.clock.has.largest_block = 60'000;
  rig.clock.has.heap = 10'000;
  CHECK(error_of(rig.ask(0, "capture")) == error::kLowMemory);
  CHECK(wire.pictures.empty());
}

TEST_CASE("whoever shows the key is answered; others hear nothing but that they didn't") {
  Rig rig("sesame");
  CHECK(rig.board.admits("/v1"));
  CHECK_FALSE(rig.board.admits("/"));
  Wire& wire = rig.join(0);
  CHECK(value(wire.texts[0], "auth") == "hmac");
  CHECK(value(rig.ask(0, proof("sesame", wire.texts[0])), "type") == "ok");
  rig.ask(0, "capture");
  CHECK(wire.pictures.size() == 1);
  for (const char* text : {"capture", "{}x", R"({"cmd":"status"})", R"({"cmd":"restart"})"}) {
    CAPTURE(text);
    Wire& stranger = rig.join(1);
    CHECK(error_of(rig.ask(1, text)) == error::kUnauthorized);
    CHECK(stranger.close_code == 1008);
    rig.leave(1);
  }
  Wire& guesser = rig.join(1);
  CHECK(error_of(rig.ask(1, proof("open", guesser.texts[0]))) == error::kUnauthorized);
  CHECK(guesser.close_code == 1008);
  // The nonce is good for one try.
  CHECK(error_of(rig.ask(1, proof("sesame", guesser.texts[0]))) == error::kUnauthorized);
  CHECK(rig.clock.restarts == 0);
}

TEST_CASE("a nonce is never used again, and one's proof is no use on another's connection") {
  Rig rig("sesame");
  const std::string first = rig.join(0).texts[0], second = rig.join(1).texts[0];
  CHECK(value(first, "nonce") != value(second, "nonce"));
  CHECK(error_of(rig.ask(1, proof("sesame", first))) == error::kUnauthorized);
}

TEST_CASE("who shows no key in five seconds is sent away, who has shown it may be silent") {
  Rig rig("sesame");
  Wire& silent = rig.join(0);
  Wire& known = rig.join(1);
  rig.ask(1, proof("sesame", known.texts[0]));
  rig.clock.time += kTimeToProve + kSecond;
  rig.round();
  CHECK(silent.close_code == 1008);
  CHECK(known.close_code == 0);
}

TEST_CASE("old sketches' clients are let in beside the key if the owner wants it so") {
  Rig rig("sesame", true);
  CHECK(rig.board.admits("/"));
  Wire& wire = rig.join(0, "/");
  rig.say(0, "capture");
  rig.settle(0);
  CHECK(wire.pictures.size() == 1);
}

TEST_CASE("strangers give way first, then the longest silent; who waits for a picture never") {
  Rig rig;
  for (int slot = 0; slot < kSlots; ++slot) {
    rig.join(slot);
    rig.clock.time += kMillisecond;
  }
  CHECK(rig.board.gives_way() == 0);
  for (const int slot : {0, 2, 3, 4}) rig.ask(slot, "capture");
  CHECK(rig.board.gives_way() == 1);  // never got a picture
  rig.ask(1, "capture");
  CHECK(rig.board.gives_way() == -1);  // all have been of use just now
  rig.clock.time += kIdle;
  CHECK(rig.board.gives_way() == 0);
  rig.say(0, "capture");
  CHECK(rig.board.gives_way() == 2);
}

TEST_CASE("a restart is confirmed, everybody is told, and nothing new begins") {
  Rig rig;
  Wire& asker = rig.join(0);
  Wire& other = rig.join(1);
  CHECK(value(rig.ask(0, R"({"cmd":"restart","id":"r"})"), "cmd") == "restart");
  CHECK(asker.close_code == 1001);
  CHECK(other.close_code == 1001);
  CHECK(rig.board.leaving());
  CHECK(rig.clock.restarts == 0);
  rig.clock.time += 300 * kMillisecond;
  rig.round();
  CHECK(rig.clock.restarts == 1);
}

TEST_CASE("for an update the camera is given up, and who asks is told so") {
  Rig rig;
  rig.join(0);
  rig.say(0, R"({"cmd":"capture","id":"u"})");
  rig.round();
  rig.board.stop_camera();
  const std::string answer = rig.links[0]->texts.back();
  CHECK(error_of(answer) == error::kBusy);
  CHECK(value(answer, "id") == "u");
  CHECK(error_of(rig.ask(0, "capture")) == error::kBusy);
  CHECK(rig.camera.held == 0);
}

TEST_CASE("a link that is gone is not talked to any further") {
  Rig rig;
  Wire& wire = rig.join(0);
  rig.say(0, "capture");
  wire.gone = true;
  rig.settle(0);
  CHECK(wire.pictures.empty());
  CHECK(rig.camera.held == 0);
}

TEST_CASE("behind a client that is slow to read, others don't wait for a silent camera too") {
  for (int step = 0; step < 8; ++step) {  // of the capture, in which it asks
    Rig rig;
    rig.camera.silent = true;
    rig.join(1);
    Slow slow(rig.clock);
    rig.board.opened(0, "/v1", slow);
    rig.say(1, "capture");
    for (int i = 0; i < step; ++i) rig.round();
    rig.say(0, R"({"cmd":"status"})");
    const Micros before = rig.clock.time;
    rig.round();
    REQUIRE(rig.clock.time - before <= 6 * kSecond);
    rig.board.closed(0);
    rig.settle(1);
    CHECK(rig.links[1]->texts.size() == 2);
  }
}

TEST_CASE("clients that don't read can't keep the camera from being asked") {
  Rig rig;
  rig.join(1);
  Slow slow(rig.clock);
  rig.board.opened(0, "/v1", slow);
  rig.say(1, "capture");
  for (int i = 0; i < 100 && rig.board.busy(1); ++i) {
    rig.say(0, R"({"cmd":"status"})");
    rig.round();
  }
  CHECK(rig.links[1]->texts.size() == 2);
}

TEST_CASE("of 200,000 messages, random and mutated, each gets at most one proper answer") {
  const std::string seeds[] = {
      "capture",
      R"({"cmd":"capture","id":"a1","framesize":"VGA","quality":12,"flash":true,"settle_ms":0})",
      R"({"cmd":"set","id":"x","settings":{"quality":20,"contrast":-1},"persist":false})",
      R"({"cmd":"status","id":"\u00e9\ud83d\ude00"})",
      R"({"cmd":"auth","mac":"0123456789abcdef"})",
      R"({"cmd":["capture",{"a":[[[[[[1]]]]]]}]})",
  };
  std::mt19937 random(20261126);
  const auto below = [&](size_t n) { return random() % n; };
  Rig rig;
  rig.join(0);
  size_t answered = 0, pictures = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    if (below(4) == 0) {
      text.resize(below(64));
      for (char& c : text) c = static_cast<char>(random());
    } else {
      text = seeds[below(std::size(seeds))];
      for (size_t n = below(4); n > 0; --n) {
        const size_t at = below(text.size() + 1);
        switch (below(4)) {
          case 0:
            text.insert(at, 1, static_cast<char>(random()));
            break;
          case 1:
            text.erase(at, below(8));
            break;
          case 2:
            text.insert(at, text.substr(below(text.size() + 1), below(40)));
            break;
          default:
            if (at < text.size()) text[at] = "\"\\{}[],:0-e.\0\x80"[below(14)];
        }
        if (text.empty()) text = " ";
      }
    }
    Wire& wire = *rig.links[0];
    wire.texts.clear();
    wire.pictures.clear();
    rig.say(0, text, below(20) == 0 ? Board::Kind::kFragment : Board::Kind::kText);
    rig.settle(0);
    CAPTURE(text);
    REQUIRE(wire.texts.size() == 1);
    REQUIRE(wire.texts[0].size() <= kMaxText);
    REQUIRE(std::holds_alternative<Json>(parse_object(wire.texts[0])));
    const bool is_image = value(wire.texts[0], "type") == "image";
    REQUIRE(wire.pictures.size() == (is_image ? 1 : 0));
    pictures += wire.pictures.size();
    ++answered;
    if (rig.board.leaving()) break;  // none of them can spell it
  }
  CHECK(answered == 200'000);
  CHECK(pictures > 1'000);
  CHECK(rig.camera.held == 0);
  CHECK(rig.clock.restarts == 0);
}

TEST_CASE("through a day of clients that come and go in any order, nobody's picture is lost") {
  std::mt19937 random(4);
  const auto below = [&](size_t n) { return random() % n; };
  Rig rig;
  int64_t asked = 0, got = 0;
  bool waits[kSlots] = {};
  const auto collect = [&](int slot) {
    if (rig.links[slot] == nullptr || !waits[slot]) return;
    Wire& wire = *rig.links[slot];
    if (wire.pictures.empty()) return;
    REQUIRE(wire.pictures.size() == 1);
    wire.pictures.clear();
    waits[slot] = false;
    ++got;
  };
  for (const Micros end = rig.clock.time + kDay; rig.clock.time < end;) {
    const int slot = static_cast<int>(below(kSlots));
    if (rig.links[slot] == nullptr) {
      rig.join(slot, below(2) ? "/v1" : "/");
    } else if (!waits[slot] && below(3) > 0) {
      rig.say(slot, "capture");
      waits[slot] = true;
      ++asked;
    } else if (below(4) == 0) {
      if (waits[slot]) --asked;
      waits[slot] = false;
      rig.leave(slot);
    }
    for (size_t n = below(5); n > 0; --n) rig.round();
    for (int each = 0; each < kSlots; ++each) {
      collect(each);
      // A fifth in line is told to come back.
      if (rig.links[each] != nullptr && waits[each] && !rig.board.busy(each)) {
        REQUIRE(error_of(rig.links[each]->texts.back()) == error::kBusy);
        waits[each] = false;
        --asked;
      }
      if (rig.links[each] != nullptr) rig.links[each]->texts.clear();
    }
    // A quiet while.
    const bool quiet = std::none_of(std::begin(waits), std::end(waits), [](bool w) { return w; });
    if (quiet) rig.clock.time += below(9) * kSecond;
  }
  for (int slot = 0; slot < kSlots; ++slot) {
    if (rig.links[slot] == nullptr) continue;
    rig.settle(slot);
    collect(slot);
  }
  CHECK(got == asked);
  CHECK(got > 10'000);
  CHECK(rig.camera.held == 0);
}

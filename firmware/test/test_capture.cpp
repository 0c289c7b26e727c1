#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "camcore/capture.h"
#include "camcore/jpeg.h"
#include "camcore/json.h"

using namespace camcore;

namespace {

constexpr Micros kAlways = INT64_MAX;

struct Clock : Machine {
  Micros now() override { return time; }
  void random(uint8_t*, size_t) override {}
  Health health() override { return {}; }
  std::string reset_reason() override { return "power_on"; }
  void restart() override {}
  void log(std::string_view line) override { lines.emplace_back(line); }

  Micros time = 10 * kSecond;
  std::vector<std::string> lines;
};

struct FlashLed : Led {
  explicit FlashLed(Clock& clock) : clock(clock) {}
  bool there() const override { return is_there; }
  void set(int percent) override {
    changes.emplace_back(clock.time, percent);
    level = percent;
  }
  // Whether it was on from `begin` to `end`, without a break.
  bool lit(Micros begin, Micros end) const {
    int at_begin = 0;
    for (const auto& [time, percent] : changes) {
      if (time <= begin) at_begin = percent;
      if (time > begin && time < end && percent == 0) return false;
    }
    return at_begin > 0;
  }
  Micros longest() const {
    Micros longest = 0;
    for (size_t i = 0; i < changes.size(); i += 2) {
      const Micros end = i + 1 < changes.size() ? changes[i + 1].first : clock.time;
      longest = std::max(longest, end - changes[i].first);
    }
    return longest;
  }

  Clock& clock;
  bool is_there = true;
  int level = 0;
  std::vector<std::pair<Micros, int>> changes;
};

// A sensor that goes on and on, and a driver that fills its buffers as the real one does: at each
// VSYNC the frame that was being read is queued, and the next is begun if a buffer is free.
struct Camera : Sensor {
  enum class Damage { kNone, kNoEoi, kNoSoi, kOtherSize };
  enum class Stamps { kVsync, kZero, kWallClock, kNowAndThen };

  struct Buffer {
    enum { kFree, kFilling, kQueued, kHeld } state = kFree;
    Micros exposed = 0;  // the first row's exposure began
    Micros vsync = 0;
    bool lit = false;
    Settings settings;
    Camera* camera = nullptr;
    std::vector<uint8_t> bytes;
  };

  Camera(Clock& clock, FlashLed& led, int buffers = 2, bool latest = true)
      : clock(clock), led(led), latest(latest), all(buffers) {
    for (Buffer& buffer : all) buffer.camera = this;
    history.emplace_back(0, Settings());
  }

  bool ready() const override { return is_ready; }
  std::string fault() const override { return is_ready ? "" : "no camera was found"; }
  std::string model() const override { return "OV2640"; }
  std::string largest() const override { return is_ready ? largest_size : ""; }
  int buffers() const override { return static_cast<int>(all.size()); }

  bool apply(const Settings& settings) override {
    REQUIRE(settings.framesize <= find_framesize(largest_size));
    run_until(clock.time);
    ++applied;
    if (deaf) return false;
    if (!(settings == in_force())) history.emplace_back(clock.time, settings);
    return true;
  }

  Frame grab() override {
    ++grabs;
    REQUIRE(outstanding() == 0);  // with one buffer this would never end
    run_until(clock.time);
    if (failing > 0 || !is_ready) {
      if (failing != INT32_MAX) --failing;
      clock.time += failing_takes;
      return {};
    }
    if (replays > 0) {
      --replays;
      clock.time += kMillisecond;
      return hand_out(replayed);
    }
    for (const Micros give_up = clock.time + 4 * kSecond; clock.time < give_up;) {
      if (queue.empty()) {
        clock.time = std::max(clock.time, next_vsync);
        run_until(clock.time);
        continue;
      }
      Buffer& buffer = *queue.front();
      queue.pop_front();
      buffer.bytes = draw(buffer.settings);
      if (drops_damaged && !look_at_jpeg(buffer.bytes.data(), buffer.bytes.size()).whole) {
        buffer.state = Buffer::kFree;
        continue;
      }
      return hand_out(buffer);
    }
    return {};
  }

  bool restart() override {
    ++restarts;
    REQUIRE(outstanding() == 0);
    REQUIRE(led.level == 0);
    clock.time += kSecond;
    queue.clear();
    for (Buffer& buffer : all) buffer.state = Buffer::kFree;
    filling = nullptr;
    next_vsync = clock.time + period / 2;
    history.emplace_back(clock.time, Settings{find_framesize("QVGA")});
    deaf = false;
    if (heals) {
      failing = 0;
      is_ready = true;
    }
    return is_ready;
  }

  Frame hand_out(Buffer& buffer) {
    buffer.state = Buffer::kHeld;
    Micros stamp = buffer.vsync;
    const bool wrong = stamps != Stamps::kNowAndThen || grabs % 2 == 0;
    if (stamps == Stamps::kZero || (stamps == Stamps::kNowAndThen && wrong)) stamp = 0;
    if (stamps == Stamps::kWallClock) stamp += 1'763'000'000 * kSecond;
    return Frame(buffer.bytes.data(), buffer.bytes.size(), stamp, &buffer, [](void* held) {
      Buffer& buffer = *static_cast<Buffer*>(held);
      buffer.camera->run_until(buffer.camera->clock.time);
      buffer.state = Buffer::kFree;
    });
  }

  void run_until(Micros time) {
    for (; next_vsync <= time; next_vsync += period) {
      if (filling != nullptr) finish(*filling);
      filling = nullptr;
      for (Buffer& buffer : all) {
        if (buffer.state != Buffer::kFree) continue;
        buffer.state = Buffer::kFilling;
        buffer.vsync = next_vsync;
        buffer.exposed = next_vsync - exposure;
        buffer.settings = in_force(buffer.exposed);
        filling = &buffer;
        break;
      }
    }
  }

  void finish(Buffer& buffer) {
    buffer.lit = led.lit(buffer.exposed, next_vsync);
    buffer.state = Buffer::kQueued;
    queue.push_back(&buffer);
    const size_t room = latest ? std::max<size_t>(all.size() - 1, 1) : all.size();
    if (queue.size() <= room) return;
    queue.front()->state = Buffer::kFree;
    queue.pop_front();
  }

  const Settings& in_force(Micros time = kAlways) const {
    size_t i = history.size();
    while (i > 1 && history[i - 1].first > time) --i;
    return history[i - 1].second;
  }

  std::vector<uint8_t> draw(const Settings& settings) {
    const FrameSize& size = *settings.framesize;
    int width = size.width;
    Damage damage = Damage::kNone;
    if (!damages.empty()) {
      damage = damages.front();
      damages.pop_front();
    }
    if (settings.quality < overflows_below) damage = Damage::kNoEoi;
    if (damage == Damage::kOtherSize) width += 16;
    const auto high = [](int n) { return static_cast<uint8_t>(n >> 8); };
    const auto low = [](int n) { return static_cast<uint8_t>(n); };
    std::vector<uint8_t> bytes = {0xFF,
                                  0xD8,
                                  0xFF,
                                  0xC0,
                                  0,
                                  11,
                                  8,
                                  high(size.height),
                                  low(size.height),
                                  high(width),
                                  low(width),
                                  1,
                                  1,
                                  0x11,
                                  0,
                                  0xFF,
                                  0xDA,
                                  0,
                                  8,
                                  1,
                                  1,
                                  0,
                                  0,
                                  63,
                                  0,
                                  0x12,
                                  0xFF,
                                  0xD9,
                                  0,
                                  0};
    if (damage == Damage::kNoEoi) bytes.resize(bytes.size() - 3);
    if (damage == Damage::kNoSoi) bytes[1] = 0;
    return bytes;
  }

  // A frame from now that will be handed out again and again, whatever is asked for later.
  void remember_one() {
    replayed.camera = this;
    replayed.exposed = clock.time - period;
    replayed.vsync = clock.time;
    replayed.settings = in_force();
    replayed.bytes = draw(replayed.settings);
  }

  int outstanding() const {
    const auto held = [](const Buffer& buffer) { return buffer.state == Buffer::kHeld; };
    return static_cast<int>(std::count_if(all.begin(), all.end(), held)) + (held(replayed) ? 1 : 0);
  }

  const Buffer& behind(const Picture& picture) const {
    for (const Buffer& buffer : all) {
      if (buffer.bytes.data() == picture.frame.data()) return buffer;
    }
    return replayed;
  }

  Clock& clock;
  FlashLed& led;
  const bool latest;
  std::vector<Buffer> all;
  std::deque<Buffer*> queue;
  Buffer* filling = nullptr;
  Buffer replayed;
  Micros next_vsync = 10 * kSecond - 3 * kMillisecond;
  std::vector<std::pair<Micros, Settings>> history;

  Micros period = 150 * kMillisecond;
  Micros exposure = 150 * kMillisecond;
  bool is_ready = true;
  bool deaf = false;  // takes no settings until it is restarted
  bool heals = true;  // by a restart
  int failing = 0;    // so many grabs
  Micros failing_takes = 4 * kSecond;
  int replays = 0;  // so many times the same old frame
  Stamps stamps = Stamps::kVsync;
  std::deque<Damage> damages;  // of the next frames
  int overflows_below = 0;     // this quality number
  bool drops_damaged = false;  // as newer drivers do
  std::string largest_size = "UXGA";

  int applied = 0;
  int grabs = 0;
  int restarts = 0;
};

// A camera, and the loop around it.
struct Rig {
  explicit Rig(int buffers = 2, bool latest = true) : camera(clock, led, buffers, latest) {
    settings.framesize = find_framesize("VGA");
    camera.apply(settings);
    idle(5 * kSecond);
  }

  void idle(Micros time) {
    clock.time += time;
    camera.run_until(clock.time);
    lamp.tick(clock.time);
  }

  std::optional<Outcome<Picture>> round() {
    lamp.tick(clock.time);
    auto outcome = capture.step();
    clock.time += kMillisecond;
    return outcome;
  }

  Outcome<Picture> take(const Shot& shot = {}) {
    asked = clock.time;
    capture.start(shot, settings);
    while (true) {
      if (auto outcome = round()) {
        CHECK_FALSE(capture.running());
        return std::move(*outcome);
      }
      REQUIRE(clock.time - asked < 16 * kSecond);
    }
  }

  Picture good(const Shot& shot = {}) {
    Outcome<Picture> outcome = take(shot);
    const Fault* fault = fault_of(outcome);
    if (fault != nullptr) FAIL(fault->code << ": " << fault->detail);
    return std::move(std::get<Picture>(outcome));
  }

  Fault bad(const Shot& shot = {}) {
    Outcome<Picture> outcome = take(shot);
    const Fault* fault = fault_of(outcome);
    REQUIRE(fault != nullptr);
    check_left();
    return *fault;
  }

  // As it was before the capture.
  void check_left() {
    CHECK_FALSE(capture.running());
    CHECK(led.level == 0);
    CHECK(camera.outstanding() == 0);
    if (camera.is_ready) CHECK(camera.in_force() == settings);
  }

  const Camera::Buffer& truth(const Picture& picture) { return camera.behind(picture); }

  Clock clock;
  FlashLed led{clock};
  Lamp lamp{led};
  Camera camera;
  Capture capture{camera, lamp, clock};
  Settings settings;
  Micros asked = 0;
};

Shot lit() {
  Shot shot;
  shot.flash = true;
  return shot;
}

Outcome<Shot> parsed(const char* text, std::string_view largest = "UXGA") {
  auto json = parse_object(text);
  REQUIRE(fault_of(json) == nullptr);
  return parse_shot(std::get<Json>(json).get(), largest);
}

std::string refused(const char* text, std::string_view largest = "UXGA") {
  const auto shot = parsed(text, largest);
  REQUIRE(fault_of(shot) != nullptr);
  return std::string(fault_of(shot)->code) + " " + fault_of(shot)->detail;
}

}  // namespace

TEST_CASE("a capture's options are read, and what is not said is left open") {
  const auto nothing = std::get<Shot>(parsed("{}"));
  CHECK_FALSE(nothing.flash);
  CHECK(nothing.framesize == nullptr);
  CHECK_FALSE(nothing.quality);
  CHECK_FALSE(nothing.settle_ms);
  CHECK(nothing.max_age_ms == 0);

  const auto all = std::get<Shot>(
      parsed(R"({"flash":false,"framesize":"SVGA","quality":63,"settle_ms":0,"max_age_ms":60000,
                 "new":"ignored"})"));
  CHECK(all.flash == false);
  CHECK(all.framesize == find_framesize("SVGA"));
  CHECK(all.quality == 63);
  CHECK(all.settle_ms == 0);
  CHECK(all.max_age_ms == 60000);
}

TEST_CASE("an option that is wrong is named, with what was expected and what came") {
  CHECK(refused(R"({"quality":3})") ==
        "bad_request quality: expected a whole number from 4 to 63, got 3");
  CHECK(refused(R"({"quality":true})").find("bad_request quality: ") == 0);
  CHECK(refused(R"({"quality":12.5})").find("bad_request quality: ") == 0);
  CHECK(refused(R"({"flash":1})") == "bad_request flash: expected true or false, got 1");
  CHECK(refused(R"({"settle_ms":2001})").find("bad_request settle_ms: ") == 0);
  CHECK(refused(R"({"max_age_ms":-1})").find("bad_request max_age_ms: ") == 0);
  CHECK(refused(R"({"framesize":13})").find("bad_request framesize: ") == 0);
  CHECK(refused(R"({"framesize":"HUGE"})").find("bad_framesize ") == 0);
}

TEST_CASE("a frame size that this camera doesn't have is refused, with those that it has") {
  CHECK(refused(R"({"framesize":"SXGA"})", "CIF") ==
        "bad_framesize framesize: \"SXGA\" is none of QQVGA, QVGA, CIF");
  // Without a camera nobody knows, and the answer is that there is none.
  CHECK(std::get<Shot>(parsed(R"({"framesize":"SXGA"})", "")).framesize != nullptr);
}

TEST_CASE("a picture is exposed after the question, however old the frames in the driver are") {
  for (const bool latest : {false, true}) {
    for (const int buffers : {1, 2, 3}) {
      for (const Micros idle : {10 * kMillisecond, 3 * kSecond, 600 * kSecond}) {
        CAPTURE(latest);
        CAPTURE(buffers);
        CAPTURE(idle);
        Rig rig(buffers, latest);
        (void)rig.good();
        rig.idle(idle);
        const Picture picture = rig.good();
        CHECK(rig.truth(picture).exposed >= rig.asked);
        CHECK(picture.exposed >= rig.asked);
        CHECK(picture.exposed <= rig.truth(picture).exposed);
        CHECK(picture.dropped <= buffers + 1);
        // Which is as soon as it can be, with a frame period for the driver to come round.
        CHECK(rig.clock.time - rig.asked <= 5 * rig.camera.period);
      }
    }
  }
}

TEST_CASE("a frame that had begun before the question is dropped, if only by one row") {
  Rig rig;
  // VSYNC right after the question: its first rows were exposed before it.
  rig.camera.run_until(rig.clock.time);
  rig.clock.time = rig.camera.next_vsync - kMillisecond;
  const Picture picture = rig.good();
  CHECK(rig.truth(picture).exposed >= rig.asked);
  CHECK(rig.truth(picture).vsync >= rig.asked + rig.camera.period);
}

TEST_CASE("a slow camera's pictures are as fresh as a fast one's") {
  for (const int milliseconds : {17, 66, 400, 900}) {
    CAPTURE(milliseconds);
    Rig rig;
    rig.camera.period = rig.camera.exposure = milliseconds * kMillisecond;
    rig.idle(5 * kSecond);
    const Picture picture = rig.good();
    CHECK(rig.truth(picture).exposed >= rig.asked);
  }
}

TEST_CASE("an older frame will do if its age was allowed") {
  Rig rig;
  (void)rig.good();
  rig.idle(3 * kSecond);
  Shot shot;
  shot.max_age_ms = 1000;
  const Picture picture = rig.good(shot);
  CHECK(rig.truth(picture).exposed < rig.asked);
  CHECK(rig.truth(picture).exposed >= rig.asked - kSecond);
  CHECK(picture.exposed <= rig.truth(picture).exposed);
  CHECK(picture.dropped == 1);
}

TEST_CASE("an older frame will not do if it was taken with other settings") {
  Rig rig(2, false);
  Shot shot;
  shot.quality = 20;
  shot.max_age_ms = 60000;
  CHECK(rig.truth(rig.good(shot)).settings.quality == 20);
  Shot plain;
  plain.max_age_ms = 60000;
  CHECK(rig.truth(rig.good(plain)).settings.quality == 12);
  rig.settings.vflip = true;  // set meanwhile, by somebody else than the capture
  rig.camera.apply(rig.settings);
  CHECK(rig.truth(rig.good(plain)).settings.vflip);
}

TEST_CASE("size and quality are for one picture only") {
  Rig rig;
  Shot shot;
  shot.framesize = find_framesize("SXGA");
  shot.quality = 30;
  {
    const Picture picture = rig.good(shot);
    CHECK(picture.width == 1280);
    CHECK(picture.height == 1024);
    CHECK(picture.quality == 30);
    CHECK(rig.truth(picture).settings.quality == 30);
    CHECK(rig.camera.in_force() == rig.settings);
  }
  rig.check_left();
  const Picture plain = rig.good();
  CHECK(plain.width == 640);
  CHECK(plain.quality == 12);
}

TEST_CASE("settings that this camera is too small for are made to fit") {
  Rig rig;
  rig.settings.framesize = find_framesize("UXGA");
  rig.camera.largest_size = "SVGA";
  CHECK(rig.good().width == 800);
  CHECK(rig.camera.in_force().framesize == find_framesize("SVGA"));
}

TEST_CASE("a size that was asked for before the camera was known is not made to fit") {
  Rig rig;
  rig.camera.largest_size = "VGA";
  Shot shot;
  shot.framesize = find_framesize("SVGA");
  const Fault fault = rig.bad(shot);
  CHECK(fault.code == std::string("bad_framesize"));
  CHECK(fault.detail == "framesize: SVGA is more than VGA");
  CHECK(rig.camera.grabs == 0);
}

TEST_CASE("what is behind a picture's end is not part of it") {
  Rig rig;
  const Picture picture = rig.good();
  REQUIRE(picture.frame.size() > 2);
  CHECK(picture.frame.data()[picture.frame.size() - 1] == 0xD9);
}

TEST_CASE("with flash the light is on during all of the exposure, and settled before") {
  for (const int buffers : {1, 2}) {
    Rig rig(buffers);
    rig.settings.flash_level = 60;
    const Picture picture = rig.good(lit());
    CHECK(picture.flash);
    CHECK(rig.truth(picture).lit);
    CHECK(rig.truth(picture).exposed >= rig.led.changes[0].first + 300 * kMillisecond);
    CHECK(rig.led.changes[0].second == 60);
    CHECK(rig.led.level == 0);  // while the picture is still to be sent
  }
}

TEST_CASE("the light settles for as long as was asked") {
  Rig rig;
  Shot shot = lit();
  shot.settle_ms = 2000;
  shot.max_age_ms = 60000;  // which is no reason to take one from before the light
  const Picture picture = rig.good(shot);
  CHECK(rig.truth(picture).lit);
  CHECK(rig.truth(picture).exposed >= rig.led.changes[0].first + 2 * kSecond);
  CHECK(rig.led.longest() < 3 * kSecond);
}

TEST_CASE("nothing waits while the light settles") {
  Rig rig;
  rig.capture.start(lit(), rig.settings);
  int rounds = 0;
  while (rig.camera.grabs == 0) {
    const Micros before = rig.clock.time;
    CHECK_FALSE(rig.round());
    if (rig.camera.grabs == 0) CHECK(rig.clock.time - before == kMillisecond);
    ++rounds;
  }
  CHECK(rounds >= 300);
  rig.capture.cancel();
}

TEST_CASE("without flash nothing has to settle") {
  Rig rig;
  Shot shot;
  shot.settle_ms = 2000;
  const Picture picture = rig.good(shot);
  CHECK_FALSE(picture.flash);
  CHECK(rig.clock.time - rig.asked < kSecond);
  CHECK(rig.led.changes.empty());
}

TEST_CASE("the flash of the settings is for every picture that doesn't say otherwise") {
  Rig rig;
  rig.settings.flash = true;
  CHECK(rig.good().flash);
  Shot dark;
  dark.flash = false;
  CHECK_FALSE(rig.good(dark).flash);
  rig.led.is_there = false;  // the settings came from another board
  CHECK_FALSE(rig.good().flash);
}

TEST_CASE("flash is refused where there is no light") {
  Rig rig;
  rig.led.is_there = false;
  const Fault fault = rig.bad(lit());
  CHECK(fault.code == std::string("bad_request"));
  CHECK(fault.detail == "flash: this board has no light");
  CHECK(rig.camera.grabs == 0);
  CHECK(rig.capture.tally().failures == 0);
}

TEST_CASE("a light that has to cool down makes flash wait, and nothing else") {
  Rig rig;
  int taken = 0;
  while (rig.lamp.rest_ms(rig.clock.time) == 0) {
    (void)rig.good(lit());
    REQUIRE(++taken < 20);
  }
  CHECK(taken >= 5);
  const Fault fault = rig.bad(lit());
  CHECK(fault.code == std::string("busy"));
  CHECK(fault.retry_after_ms > 0);
  CHECK(rig.good().width == 640);
  rig.idle(fault.retry_after_ms * kMillisecond);
  CHECK(rig.good(lit()).flash);
}

TEST_CASE("frames are counted where their timestamps are no good") {
  for (const auto stamps :
       {Camera::Stamps::kZero, Camera::Stamps::kWallClock, Camera::Stamps::kNowAndThen}) {
    for (const bool latest : {false, true}) {
      for (const int buffers : {1, 2, 3}) {
        CAPTURE(static_cast<int>(stamps));
        CAPTURE(latest);
        CAPTURE(buffers);
        Rig rig(buffers, latest);
        rig.camera.stamps = stamps;
        rig.idle(10 * kSecond);
        const Picture picture = rig.good(lit());
        CHECK(rig.truth(picture).lit);
        CHECK(rig.truth(picture).exposed >= rig.asked + 300 * kMillisecond);
        CHECK(picture.exposed >= rig.asked + 300 * kMillisecond);
        CHECK(picture.exposed <= rig.truth(picture).exposed);
        CHECK(picture.dropped == buffers + 1);
      }
    }
  }
}

TEST_CASE("a camera that only has old frames gives no picture") {
  Rig rig;
  rig.camera.remember_one();
  rig.camera.replays = INT32_MAX;
  rig.idle(kSecond);
  const Fault fault = rig.bad();
  CHECK(fault.code == std::string("no_fresh_frame"));
  CHECK(fault.retry_after_ms == 500);
  CHECK(rig.camera.grabs == 12);
  CHECK(rig.capture.tally().failures == 1);
  rig.camera.replays = 3;
  const Picture picture = rig.good();
  CHECK(rig.truth(picture).exposed >= rig.asked);
}

TEST_CASE("a camera that does not answer is restarted once, and goes on") {
  Rig rig;
  rig.camera.failing = 5;
  {
    const Picture picture = rig.good();
    CHECK(rig.truth(picture).exposed >= rig.asked);
    CHECK(picture.width == 640);  // its settings were applied again
  }
  rig.check_left();
  CHECK(rig.camera.restarts == 1);
  CHECK(rig.capture.tally().camera_restarts == 1);
  CHECK(rig.capture.tally().captures == 1);
  REQUIRE(rig.clock.lines.size() == 1);
  CHECK(rig.clock.lines[0] == "camera: restarting it: the camera gave no frame");
}

TEST_CASE("a restarted camera's first, dark frames are not taken") {
  Rig rig;
  rig.camera.is_ready = false;
  const Picture picture = rig.good();
  CHECK(rig.camera.restarts == 1);
  CHECK(rig.truth(picture).exposed >= rig.asked + kSecond + 300 * kMillisecond);
}

TEST_CASE("one grab that nothing came of is no reason to restart the camera") {
  Rig rig;
  rig.camera.failing = 1;
  CHECK(rig.good().width == 640);
  CHECK(rig.camera.restarts == 0);
}

TEST_CASE("two grabs that nothing came of are no reason either, if a frame came in between") {
  Rig rig;
  rig.camera.failing = 1;
  rig.capture.start({}, rig.settings);
  std::optional<Outcome<Picture>> outcome;
  while (!outcome) {
    outcome = rig.round();
    if (rig.camera.grabs == 3) rig.camera.failing = 1;
    REQUIRE(rig.camera.grabs < 20);
  }
  CHECK(fault_of(*outcome) == nullptr);
  CHECK(rig.camera.failing == 0);
  CHECK(rig.camera.restarts == 0);
}

TEST_CASE("a dead camera is reported, within 15 seconds") {
  for (const Micros takes : {Micros{0}, 4 * kSecond}) {
    CAPTURE(takes);
    Rig rig;
    rig.camera.failing = INT32_MAX;
    rig.camera.failing_takes = takes;
    rig.camera.heals = false;
    const Fault fault = rig.bad(lit());
    CHECK(fault.code == std::string("camera_failed"));
    CHECK(fault.detail == "the camera gave no frame");
    CHECK(fault.retry_after_ms == 1000);
    CHECK(rig.clock.time - rig.asked < 15 * kSecond);
    CHECK(rig.camera.restarts == 1);
    CHECK(rig.led.longest() <= kMaxLit);
    CHECK(rig.capture.tally().failures == 1);
  }
}

TEST_CASE("without a camera the answer says why there is none") {
  Rig rig;
  rig.camera.is_ready = false;
  rig.camera.heals = false;
  const Fault fault = rig.bad();
  CHECK(fault.code == std::string("camera_failed"));
  CHECK(fault.detail == "no camera was found");
  CHECK(fault.retry_after_ms == 1000);
  CHECK(rig.camera.restarts == 1);
  CHECK(rig.camera.grabs == 0);
}

TEST_CASE("a sensor that takes no settings is restarted") {
  Rig rig;
  rig.camera.deaf = true;
  Shot shot;
  shot.framesize = find_framesize("SVGA");
  CHECK(rig.good(shot).width == 800);
  CHECK(rig.camera.restarts == 1);
}

TEST_CASE("a scene that does not fit into the buffer is taken coarser, this once") {
  for (const bool drops : {false, true}) {
    CAPTURE(drops);
    Rig rig;
    rig.camera.drops_damaged = drops;
    rig.camera.overflows_below = 16;
    {
      const Picture picture = rig.good(lit());
      CHECK(picture.quality == 18);
      CHECK(rig.truth(picture).settings.quality == 18);
      CHECK(rig.truth(picture).lit);
      CHECK(rig.truth(picture).exposed >= rig.asked);
      CHECK(rig.camera.in_force().quality == 12);
    }
    rig.check_left();
    rig.camera.overflows_below = 0;
    CHECK(rig.good().quality == 12);
  }
}

TEST_CASE("the finest quality is made coarser by whole steps, the coarsest not at all") {
  Rig rig;
  rig.settings.quality = 4;
  rig.camera.overflows_below = 9;
  CHECK(rig.good().quality == 12);  // by way of 8
  rig.settings.quality = 60;
  rig.camera.overflows_below = 61;
  CHECK(rig.good().quality == 63);
}

TEST_CASE("frames that are never whole are reported as such") {
  Rig rig;
  rig.camera.overflows_below = 64;
  const Fault fault = rig.bad();
  CHECK(fault.code == std::string("camera_failed"));
  CHECK(fault.detail == "the camera's frames are not whole: no EOI");
  CHECK(fault.retry_after_ms == 1000);
  CHECK(rig.camera.grabs == 12);
}

TEST_CASE("damaged frames are dropped, and the next whole one is taken") {
  Rig rig;
  rig.camera.damages = {Camera::Damage::kNone, Camera::Damage::kNone, Camera::Damage::kNone,
                        Camera::Damage::kNoSoi};
  const Picture picture = rig.good();
  CHECK(rig.truth(picture).exposed >= rig.asked);
  CHECK(picture.dropped == rig.camera.grabs - 1);
  CHECK(picture.dropped >= 4);
}

TEST_CASE("frames of another size than asked for are dropped") {
  Rig rig;
  rig.camera.damages.assign(5, Camera::Damage::kOtherSize);
  CHECK(rig.good().width == 640);
}

TEST_CASE("a sensor that keeps to another size is reported, with both") {
  Rig rig;
  rig.camera.damages.assign(100, Camera::Damage::kOtherSize);
  const Fault fault = rig.bad();
  CHECK(fault.code == std::string("camera_failed"));
  CHECK(fault.detail == "the camera's frames have 656x480 pixels, not 640x480 as VGA has");
  CHECK(rig.camera.grabs < 12);
}

TEST_CASE("a capture that nobody waits for any more ends at once, wherever it is") {
  for (int rounds = 0; rounds < 400; ++rounds) {
    CAPTURE(rounds);
    Rig rig;
    Shot shot = lit();
    shot.framesize = find_framesize("SVGA");
    shot.quality = 40;
    rig.capture.start(shot, rig.settings);
    bool done = false;
    for (int i = 0; i < rounds && !done; ++i) done = rig.round().has_value();
    if (done) break;
    rig.capture.cancel();
    rig.check_left();
    CHECK(rig.good().width == 640);
    rig.capture.cancel();  // nothing is under way: nothing happens
  }
}

TEST_CASE("a step without a capture does nothing") {
  Rig rig;
  CHECK_FALSE(rig.capture.step());
  CHECK(rig.camera.grabs == 0);
}

TEST_CASE(
    "whatever the camera does: a picture is fresh, lit, whole, in time, and nothing is left") {
  const unsigned seed = 20261125;
  std::mt19937 random(seed);
  const auto up_to = [&random](int64_t most) {
    return static_cast<int64_t>(random() % (most + 1));
  };
  const auto chance = [&random](unsigned one_in) { return random() % one_in == 0; };
  std::map<std::string, int> seen;

  for (int script = 0; script < 10'000; ++script) {
    CAPTURE(seed);
    CAPTURE(script);
    Rig rig(1 + up_to(2), chance(2));
    Camera& camera = rig.camera;
    camera.period = (15 + up_to(400)) * kMillisecond;
    camera.exposure = 1 + up_to(camera.period - 1);
    camera.drops_damaged = chance(2);
    camera.heals = !chance(4);
    if (chance(4)) camera.stamps = static_cast<Camera::Stamps>(up_to(3));
    const bool stamped = camera.stamps == Camera::Stamps::kVsync;
    rig.led.is_there = !chance(8);
    rig.settings.flash = chance(4);
    if (chance(8)) rig.settings.framesize = find_framesize("QSXGA");

    for (int i = 0; i < 3; ++i) {
      if (chance(3)) camera.failing = chance(8) ? INT32_MAX : up_to(4);
      camera.failing_takes = chance(2) ? 4 * kSecond : up_to(kSecond);
      if (chance(10)) camera.is_ready = false;
      if (chance(10)) camera.deaf = true;
      if (chance(4)) camera.overflows_below = up_to(64);
      if (chance(4)) {
        camera.damages.resize(up_to(8));
        for (auto& damage : camera.damages) damage = static_cast<Camera::Damage>(up_to(3));
      }
      if (chance(6) && stamped) {
        camera.remember_one();
        camera.replays = up_to(14);
      }
      rig.idle(chance(2) ? up_to(100 * kSecond) : up_to(kSecond));

      Shot shot;
      if (chance(2)) shot.flash = chance(2);
      if (chance(2)) shot.framesize = &kFrameSizes[up_to(9)];
      if (chance(2)) shot.quality = 4 + up_to(59);
      if (chance(2)) shot.settle_ms = up_to(2000);
      if (chance(4)) shot.max_age_ms = up_to(5000);
      const bool flash = shot.flash.value_or(rig.settings.flash && rig.led.is_there);
      const int restarts = camera.restarts;
      const Micros asked = rig.clock.time;
      const size_t changes = rig.led.changes.size();
      const int64_t leave_after = chance(10) ? up_to(1000) : INT64_MAX;

      rig.capture.start(shot, rig.settings);
      std::optional<Outcome<Picture>> outcome;
      for (int64_t round = 0; !outcome; ++round) {
        if (round == leave_after) {
          rig.capture.cancel();
          break;
        }
        outcome = rig.round();
        REQUIRE(rig.clock.time - asked < 15 * kSecond);
      }

      REQUIRE_FALSE(rig.capture.running());
      REQUIRE(rig.led.level == 0);
      REQUIRE(rig.led.longest() <= kMaxLit);
      REQUIRE(camera.restarts - restarts <= 1);
      Settings fitting_settings = rig.settings;
      fitting_settings.framesize = fitting(rig.settings.framesize, camera.largest_size);
      if (camera.is_ready && !camera.deaf) REQUIRE(camera.in_force() == fitting_settings);
      if (!outcome) {
        REQUIRE(camera.outstanding() == 0);
        ++seen["cancelled"];
        continue;
      }
      if (const Fault* fault = fault_of(*outcome)) {
        REQUIRE(camera.outstanding() == 0);
        REQUIRE_FALSE(fault->detail.empty());
        ++seen[fault->code];
        continue;
      }

      const Picture picture = std::move(std::get<Picture>(*outcome));
      const Camera::Buffer& truth = camera.behind(picture);
      REQUIRE(camera.outstanding() == 1);
      REQUIRE(truth.exposed >= asked - shot.max_age_ms * kMillisecond);
      REQUIRE(picture.exposed <= truth.exposed);
      REQUIRE(picture.exposed >= asked - shot.max_age_ms * kMillisecond);
      REQUIRE(picture.flash == flash);
      if (flash) {
        REQUIRE(truth.lit);
        REQUIRE(truth.exposed >=
                rig.led.changes[changes].first + shot.settle_ms.value_or(300) * kMillisecond);
      }
      REQUIRE(truth.settings.quality == picture.quality);
      REQUIRE(picture.quality >= shot.quality.value_or(rig.settings.quality));
      const FrameSize* size =
          shot.framesize != nullptr ? shot.framesize : fitting_settings.framesize;
      REQUIRE(picture.width == size->width);
      REQUIRE(picture.height == size->height);
      REQUIRE(truth.settings.framesize == size);
      const JpegLook look = look_at_jpeg(picture.frame.data(), picture.frame.size());
      REQUIRE(look.whole);
      REQUIRE(look.size == picture.frame.size());
      ++seen[flash ? "lit picture" : "picture"];
    }
    REQUIRE(camera.outstanding() == 0);
  }

  // The scripts come by everything that there is.
  CHECK(seen["picture"] > 5000);
  CHECK(seen["lit picture"] > 2000);
  for (const char* what : {"camera_failed", "no_fresh_frame", "bad_request", "busy", "cancelled"}) {
    CAPTURE(what);
    CHECK(seen[what] > 100);
  }
}

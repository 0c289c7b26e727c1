// The machine that the core's tests run on: a clock set by hand, a store in memory, a camera that
// has a picture whenever it is asked, and links that keep what was said on them.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "camcore/platform.h"
#include "camcore/settings.h"

namespace fakes {

using camcore::kMillisecond;
using camcore::kSecond;
using camcore::Micros;

struct Clock : camcore::Machine {
  Micros now() override { return time; }
  void random(uint8_t* out, size_t size) override {
    for (size_t i = 0; i < size; ++i) out[i] = next_random++;
  }
  camcore::Health health() override { return has; }
  std::string reset_reason() override { return "power_on"; }
  void restart() override { ++restarts; }
  void log(std::string_view line) override { lines.emplace_back(line); }

  Micros time = 10 * kSecond;
  camcore::Health has{-60, 100'000, 90'000, 60'000, 4'000'000};
  uint8_t next_random = 7;
  int restarts = 0;
  std::vector<std::string> lines;
};

struct MapStore : camcore::Store {
  bool load(const char* key, std::string& value) override {
    const auto found = texts.find(key);
    if (found == texts.end()) return false;
    value = found->second;
    return true;
  }
  bool save(const char* key, const std::string& value) override {
    if (full) return false;
    texts[key] = value;
    return true;
  }
  std::map<std::string, std::string> texts;
  bool full = false;
};

struct NoLed : camcore::Led {
  bool there() const override { return false; }
  void set(int) override {}
};

// A grey JPEG of any size with nothing in it.
inline std::vector<uint8_t> jpeg(int width, int height) {
  const auto high = [](int n) { return static_cast<uint8_t>(n >> 8); };
  const auto low = [](int n) { return static_cast<uint8_t>(n & 0xff); };
  return {0xFF,        0xD8,        0xFF,       0xC0, 0,   11,   8, high(height),
          low(height), high(width), low(width), 1,    1,   0x11, 0, 0xFF,
          0xDA,        0,           8,          1,    1,   0,    0, 63,
          0,           0x12,        0x34,       0xFF, 0xD9};
}

// One frame every 100 ms, at the size that was asked for.
struct Camera : camcore::Sensor {
  explicit Camera(Clock& clock) : clock(clock) {}
  bool ready() const override { return !broken; }
  std::string fault() const override { return broken ? "no camera was found" : ""; }
  std::string model() const override { return "OV2640"; }
  std::string largest() const override { return "UXGA"; }
  int buffers() const override { return 2; }
  bool apply(const camcore::Settings& wanted) override {
    settings = wanted;
    return true;
  }
  camcore::Frame grab() override {
    const bool nothing = broken || silent;
    clock.time += nothing ? 4 * kSecond : 100 * kMillisecond;
    if (nothing) return {};
    ++held;
    bytes = jpeg(settings.framesize->width, settings.framesize->height);
    return camcore::Frame(bytes.data(), bytes.size(), clock.time, this,
                          [](void* camera) { --static_cast<Camera*>(camera)->held; });
  }
  bool restart() override { return !broken; }

  Clock& clock;
  bool broken = false;
  bool silent = false;  // it seems well, but no frame comes
  int held = 0;         // frames that were not given back yet
  camcore::Settings settings;
  std::vector<uint8_t> bytes;
};

// A client's connection, as the core writes to it.
struct Wire : camcore::Link {
  bool text(std::string_view message) override {
    if (gone) return false;
    texts.emplace_back(message);
    return true;
  }
  bool binary(const uint8_t* data, size_t size) override {
    if (gone) return false;
    pictures.emplace_back(data, data + size);
    return true;
  }
  void close(uint16_t code, std::string_view reason) override {
    close_code = code;
    close_reason = reason;
  }

  bool gone = false;
  std::vector<std::string> texts;
  std::vector<std::vector<uint8_t>> pictures;
  uint16_t close_code = 0;
  std::string close_reason;
};

}  // namespace fakes

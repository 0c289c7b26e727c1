// What the core needs from the machine it runs on. The shell in src/ implements it on a board and,
// with the stand-ins in sim/, on a PC; the tests implement it with whatever they want to happen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace camcore {

struct Settings;

// Microseconds since the start, as esp_timer_get_time() counts them: 64 bits, never wraps.
using Micros = int64_t;

constexpr Micros kMillisecond = 1000;
constexpr Micros kSecond = 1000 * kMillisecond;

// One frame buffer of the camera driver, which gets it back when this ends. Movable, not copyable.
class Frame {
 public:
  using GiveBack = void (*)(void* buffer);

  Frame() = default;
  Frame(const uint8_t* data, size_t size, Micros started, void* buffer, GiveBack give_back)
      : data_(data), size_(size), started_(started), buffer_(buffer), give_back_(give_back) {}
  Frame(Frame&& other) noexcept { swap(other); }
  Frame& operator=(Frame&& other) noexcept {
    Frame(std::move(other)).swap(*this);
    return *this;
  }
  ~Frame() {
    if (give_back_ != nullptr) give_back_(buffer_);
  }

  explicit operator bool() const { return data_ != nullptr; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  // The driver's VSYNC at the frame's start. Rows were exposed up to one frame period before it.
  Micros started() const { return started_; }
  // Forget what is behind the picture's end.
  void trim(size_t size) { size_ = size < size_ ? size : size_; }

 private:
  void swap(Frame& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(started_, other.started_);
    std::swap(buffer_, other.buffer_);
    std::swap(give_back_, other.give_back_);
  }

  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  Micros started_ = 0;
  void* buffer_ = nullptr;
  GiveBack give_back_ = nullptr;
};

// The camera.
class Sensor {
 public:
  virtual ~Sensor() = default;
  // Whether it was found and set up; why not, as a sentence, if it wasn't.
  virtual bool ready() const = 0;
  virtual std::string fault() const = 0;
  // "OV2640", or "" while nothing is known.
  virtual std::string model() const = 0;
  // The largest frame size it was set up for: never ask for a larger one.
  virtual std::string largest() const = 0;
  // How many frame buffers the driver has: so many frames may be older than the question.
  virtual int buffers() const = 0;
  // Take over what differs from what is in force. False if the sensor did not.
  virtual bool apply(const Settings& settings) = 0;
  // The driver's next frame, empty if none came; blocks for 4 seconds at most (FB_GET_TIMEOUT).
  virtual Frame grab() = 0;
  // Cut its power for a moment and set it up anew; blocks for about a second.
  virtual bool restart() = 0;
};

// The flash LED. The lamp of camcore/lamp.h decides how bright and for how long.
class Led {
 public:
  virtual ~Led() = default;
  virtual bool there() const = 0;
  virtual void set(int percent) = 0;
};

// Text that outlives a restart: NVS on a board, a file on a PC. Keys have 15 characters at most.
class Store {
 public:
  virtual ~Store() = default;
  virtual bool load(const char* key, std::string& value) = 0;
  virtual bool save(const char* key, const std::string& value) = 0;
};

// What the board knows of itself.
struct Health {
  int rssi = 0;           // dBm; 0 without Wi-Fi
  uint32_t heap = 0;      // bytes free
  uint32_t min_heap = 0;  // the least there ever was
  uint32_t largest_block = 0;
  uint32_t psram_free = 0;  // bytes
};

class Machine {
 public:
  virtual ~Machine() = default;
  virtual Micros now() = 0;
  virtual void random(uint8_t* out, size_t size) = 0;
  virtual Health health() = 0;
  // "power_on", "software", "panic", "watchdog", "brownout", "deep_sleep", "other"
  virtual std::string reset_reason() = 0;
  virtual void restart() = 0;
  // A line for the owner, over serial.
  virtual void log(std::string_view line) = 0;
};

// One WebSocket connection, to answer on. False: it is gone or was cut off, and nothing more goes.
class Link {
 public:
  virtual ~Link() = default;
  virtual bool text(std::string_view message) = 0;
  virtual bool binary(const uint8_t* data, size_t size) = 0;
  // Takes effect when the core has returned.
  virtual void close(uint16_t code, std::string_view reason) = 0;
};

}  // namespace camcore

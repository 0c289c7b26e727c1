// The board: who is connected, what each of them wants, one picture at a time.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "camcore/capture.h"
#include "camcore/lamp.h"
#include "camcore/platform.h"
#include "camcore/settings.h"

namespace camcore {

constexpr int kSlots = 5;    // the WebSocket library has no more
constexpr int kWaiting = 4;  // captures that may wait, the one under way counted; more are busy
constexpr Micros kIdle =
    5 * kSecond;  // a connection that has been silent so long gives way to a new one
constexpr Micros kTimeToProve = 5 * kSecond;  // for the key, after the hello

// What the board is, apart from its settings. None of it changes while it runs.
struct Identity {
  std::string name;      // "esp32cam-1a2b3c": what it is called on the network
  std::string firmware;  // "1.0.0"
  std::string board;     // "ai-thinker"
  bool psram = false;
};

class Writer;

class Board {
 public:
  Board(Sensor& sensor, Led& led, Store& store, Machine& machine, Identity identity);

  // Load what is stored and give it to the sensor.
  void begin();

  // --- WebSocket connections, by slot. The callbacks note what came and return; nothing is sent or
  // taken in them but the hello.
  // Whether a connection to this path may be upgraded: 401 otherwise.
  bool admits(std::string_view path) const;
  void opened(int slot, std::string_view path, Link& link);
  void closed(int slot);
  enum class Kind { kText, kBinary, kFragment };
  void heard(int slot, Kind kind, const uint8_t* data, size_t size);
  // Something of this connection is still to be answered: read nothing more from it, so that
  // whoever asks faster than we answer waits in TCP, in order, and not in our memory.
  bool busy(int slot) const;
  // The slot whose connection should give way to a new one, or -1: the longest silent among those
  // that never got an answer worth having, else among all that have been silent for kIdle.
  int gives_way();

  // --- Captures for others than WebSocket clients (the page). `done` is called from `loop()`,
  // or at once with `busy`.
  using Done = std::function<void(Outcome<Picture>)>;
  void capture(const Shot& shot, Done done);

  // --- What the page shows and changes.
  std::string status_json();  // all of hello, status and settings in one object
  const Settings& settings() const { return settings_; }
  // `persist`: also for the next start.
  Outcome<Settings> change(const cJSON* object, bool persist);
  const Access& access() const { return access_; }
  bool change_access(const Access& access);
  const Identity& identity() const { return identity_; }
  std::string largest() const { return sensor_.largest(); }
  void count_wifi_reconnect() { ++wifi_reconnects_; }

  // Give the camera up for good, as before an update: captures are answered with `busy` until the
  // restart. Done when it returns.
  void stop_camera();
  void restart_soon();  // after what is under way was sent
  bool leaving() const { return restart_at_ != 0; }

  // One round: a step of the capture under way, the next request, time limits. Blocks for one
  // grab or one timed send at most.
  void loop();

 private:
  // One WebSocket connection.
  struct Session {
    Link* link = nullptr;
    bool v1 = false;
    bool trusted = false;  // has shown the key, or there is none
    bool useful = false;   // has got a picture, or shown the key
    bool asked = false;    // a capture of its own waits or is under way
    Micros opened = 0;
    Micros heard = 0;
    std::string nonce;
    struct Message {
      Kind kind;
      std::string text;
    };
    std::deque<Message> messages;  // not yet answered
  };

  // A capture that waits or, as the first, is under way. Of a slot, or of whoever waits for `done`.
  struct Job {
    int slot;
    std::optional<std::string> id;
    Shot shot;
    Done done;
  };

  void greet(Session& session);
  void answer(int slot);
  bool answer_legacy(int slot, const Session::Message& message);
  std::optional<Fault> obey(int slot, const Session::Message& message,
                            std::optional<std::string>& id);
  std::optional<Fault> prove(Session& session, const cJSON* command,
                             const std::optional<std::string>& id);
  std::optional<Fault> queue(int slot, const cJSON* command, const std::optional<std::string>& id);
  Fault deny(Session& session);
  void deliver(const Job& job, Outcome<Picture> outcome);
  void fail(Session& session, const std::optional<std::string>& id, const Fault& fault);
  std::optional<Fault> obstacle();
  std::string fits() const;  // the largest frame size, also while there is no camera
  void describe(Writer& out) const;
  void report(Writer& out);

  Sensor& sensor_;
  Store& store_;
  Machine& machine_;
  Identity identity_;
  Settings settings_;
  Settings stored_;
  Access access_;
  Lamp lamp_;
  Capture capture_;
  uint32_t wifi_reconnects_ = 0;
  std::array<Session, kSlots> sessions_;
  std::deque<Job> jobs_;
  bool put_off_ = false;  // the capture under way had to wait a round
  bool stopped_ = false;  // no camera any more
  Micros restart_at_ = 0;
};

}  // namespace camcore

// One picture of now: the scene after the question, lit if asked for, whole, and in bounded time.
#pragma once

#include <optional>

#include "camcore/fault.h"
#include "camcore/lamp.h"
#include "camcore/platform.h"
#include "camcore/settings.h"

namespace camcore {

constexpr int kMaxSettleMs = 2000;
constexpr int kMaxAgeMs = 60000;

// How one picture is to differ from the settings; nothing of it outlives that picture.
struct Shot {
  std::optional<bool> flash;
  const FrameSize* framesize = nullptr;
  std::optional<int> quality;
  std::optional<int>
      settle_ms;       // light before the exposure; by default 300, and no time without flash
  int max_age_ms = 0;  // 0: exposed after the question; more: a frame that old will do
};

// The options of a capture command. bad_request, bad_framesize.
Outcome<Shot> parse_shot(const cJSON* object, std::string_view largest);

struct Picture {
  Frame frame;
  int width = 0;
  int height = 0;
  Micros exposed = 0;  // no part of it was exposed before
  int dropped = 0;     // frames that were not good enough
  bool flash = false;
  int quality = 0;  // coarser than asked for if the scene did not fit into the buffer
};

// What became of captures since the start.
struct Tally {
  uint32_t captures = 0;
  uint32_t failures = 0;
  uint32_t camera_restarts = 0;
};

// Takes one picture at a time, step by step, so that the loop goes on in between: the light is
// switched off and the settings are put back on every way out.
class Capture {
 public:
  Capture(Sensor& sensor, Lamp& lamp, Machine& machine)
      : sensor_(sensor), lamp_(lamp), machine_(machine) {}

  // Begin. One capture at a time: `running()` must be false, and the picture before given back, as
  // its frame may be the only buffer, or go with a restart of the camera.
  void start(const Shot& shot, const Settings& settings);
  bool running() const { return phase_ != Phase::kIdle; }
  // Go on; blocks for one grab or one restart of the camera at most. Nothing while it is under way.
  std::optional<Outcome<Picture>> step();
  // Nobody waits for it any more.
  void cancel();

  const Tally& tally() const { return tally_; }

 private:
  enum class Phase { kIdle, kPreparing, kSettling, kGrabbing, kReviving };
  using Result = std::optional<Outcome<Picture>>;

  Result prepare();
  Result settle();
  Result grab();
  Result revive();
  Result nothing_came();
  Result judge(Frame frame, Micros exposed);
  std::optional<Micros> fresh_exposure(const Frame& frame);
  bool apply(Settings& settings);
  void take_coarser();

  Result done(Picture picture);
  Result refuse(Fault fault);
  Result fail(Fault fault);
  void leave();

  Sensor& sensor_;
  Lamp& lamp_;
  Machine& machine_;
  Phase phase_ = Phase::kIdle;
  Tally tally_;

  // Of the capture under way.
  Shot shot_;
  Settings settings_;  // to be put back
  Settings wanted_;    // those of this picture
  bool flash_ = false;
  Micros begun_ = 0;
  Micros fresh_after_ = 0;  // no part of the picture may be exposed before
  Micros watched_ = 0;      // since when `seen_` is counted
  int seen_ = 0;
  int frames_ = 0;
  int dropped_ = 0;
  int empty_ = 0;       // grabs without a frame, in a row
  int mismatched_ = 0;  // fresh frames of another size than asked for
  bool revived_ = false;
  bool clock_is_wrong_ = false;   // the frames' timestamps are no good
  std::optional<Fault> trouble_;  // what has gone wrong last

  // Beyond it.
  Settings in_force_;    // what the sensor was given last
  Micros changed_ = 0;   // frames exposed before are not as `in_force_` has it
  Micros previous_ = 0;  // the VSYNC of the frame that came last
};

}  // namespace camcore

#include "camcore/capture.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "camcore/jpeg.h"
#include "camcore/json.h"

namespace camcore {
namespace {

constexpr int kSettleMs = 300;  // until the sensor's exposure has followed the light
constexpr Micros kWarmUp = 300 * kMillisecond;  // the first frames after power-up are dark or green
constexpr Micros kGrabTime = 4 * kSecond;       // the driver's FB_GET_TIMEOUT

// A client waits 15 s, by the bridge's default. The last grab begins within 10 s and is over within
// 14; that leaves room for two that nothing comes of, a restart, and a third one.
constexpr Micros kMaxTime = 10 * kSecond;
// With two buffers the fourth frame is the first that is surely fresh, and so it is after each
// change of quality: three attempts.
constexpr int kMaxFrames = 12;

constexpr int kRetryStaleMs = 500;
constexpr int kRetryFailedMs = 1000;

std::string pixels(int width, int height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

}  // namespace

Outcome<Shot> parse_shot(const cJSON* object, std::string_view largest) {
  // While no camera is there, no size is too large: what is wrong with it is the camera's failure.
  if (largest.empty()) largest = std::end(kFrameSizes)[-1].name;
  Shot shot;
  bool flash = false;
  int quality = 0;
  int settle_ms = 0;
  if (auto fault = read_flag(object, "flash", flash)) return *fault;
  if (auto fault = read_framesize(object, largest, shot.framesize)) return *fault;
  if (auto fault = read_number(object, "quality", kMinQuality, kMaxQuality, quality)) {
    return *fault;
  }
  if (auto fault = read_number(object, "settle_ms", 0, kMaxSettleMs, settle_ms)) return *fault;
  if (auto fault = read_number(object, "max_age_ms", 0, kMaxAgeMs, shot.max_age_ms)) {
    return *fault;
  }
  if (member(object, "flash") != nullptr) shot.flash = flash;
  if (member(object, "quality") != nullptr) shot.quality = quality;
  if (member(object, "settle_ms") != nullptr) shot.settle_ms = settle_ms;
  return shot;
}

void Capture::start(const Shot& shot, const Settings& settings) {
  shot_ = shot;
  settings_ = wanted_ = settings;
  if (shot.framesize != nullptr) wanted_.framesize = shot.framesize;
  wanted_.quality = shot.quality.value_or(settings.quality);
  flash_ = shot.flash.value_or(settings.flash && lamp_.there());
  begun_ = machine_.now();
  frames_ = dropped_ = empty_ = mismatched_ = 0;
  revived_ = clock_is_wrong_ = false;
  trouble_.reset();
  phase_ = Phase::kPreparing;
}

Capture::Result Capture::step() {
  if (running() && (frames_ >= kMaxFrames || machine_.now() - begun_ >= kMaxTime)) {
    return fail(trouble_.value_or(
        Fault{error::kNoFreshFrame, "all frames were from before the request", kRetryStaleMs}));
  }
  switch (phase_) {
    case Phase::kIdle:
      return {};
    case Phase::kPreparing:
      return prepare();
    case Phase::kSettling:
      return settle();
    case Phase::kGrabbing:
      return grab();
    case Phase::kReviving:
      return revive();
  }
  return {};
}

void Capture::cancel() {
  if (running()) leave();
}

Capture::Result Capture::prepare() {
  if (flash_ && !lamp_.there()) {
    return refuse({error::kBadRequest, "flash: this board has no light", -1});
  }
  if (!sensor_.ready()) {
    trouble_ = Fault{error::kCameraFailed, sensor_.fault(), kRetryFailedMs};
    phase_ = Phase::kReviving;
    return {};
  }

  const std::string largest = sensor_.largest();
  if (shot_.framesize != nullptr && fitting(shot_.framesize, largest) != shot_.framesize) {
    return refuse({error::kBadFramesize,
                   std::string("framesize: ") + shot_.framesize->name + " is more than " + largest,
                   -1});
  }
  if (!apply(wanted_)) {
    trouble_ = Fault{error::kCameraFailed, "the sensor did not take its settings", kRetryFailedMs};
    phase_ = Phase::kReviving;
    return {};
  }

  fresh_after_ = std::max(begun_ - shot_.max_age_ms * kMillisecond, changed_);
  if (flash_) {
    const Micros now = machine_.now();
    if (!lamp_.on(wanted_.flash_level, now)) {
      return trouble_
                 ? fail(*trouble_)
                 : refuse({error::kBusy, "flash: the light has to cool down", lamp_.rest_ms(now)});
    }
    fresh_after_ =
        std::max(fresh_after_, lamp_.since() + shot_.settle_ms.value_or(kSettleMs) * kMillisecond);
  }
  phase_ = Phase::kSettling;
  return {};
}

Capture::Result Capture::settle() {
  const Micros now = machine_.now();
  if (now < fresh_after_) return {};
  watched_ = now;
  seen_ = 0;
  phase_ = Phase::kGrabbing;
  return grab();
}

Capture::Result Capture::grab() {
  // A grab may last too long for the light.
  const Micros now = machine_.now();
  if (flash_ && (!lamp_.lit() || now - lamp_.since() > kMaxLit - kGrabTime)) {
    lamp_.off(now);
    phase_ = Phase::kPreparing;
    return {};
  }

  Frame frame = sensor_.grab();
  if (!frame) return nothing_came();
  empty_ = 0;
  ++frames_;
  ++seen_;
  const std::optional<Micros> exposed = fresh_exposure(frame);
  if (exposed) return judge(std::move(frame), *exposed);
  ++dropped_;
  return {};
}

// Since when it may have been exposed, if that is late enough.
//
// The driver has frames in its buffers that are older than the question (esp32-camera #357, #363),
// and stamps them at VSYNC, by when the exposure of the first rows is over. It began after that
// row's last reading, so not before the VSYNC of the frame in front, nor of any earlier one: the
// frame that came before this one must itself have started late enough. No guess at the frame
// period is in this, which changes with size, clock and light.
//
// Where the timestamps are none (of the wall clock, or never set), frames are counted: each buffer
// may hold one that had started when the watch began, the next may have been exposed by then.
std::optional<Micros> Capture::fresh_exposure(const Frame& frame) {
  const Micros started = frame.started();
  if (started <= 0 || started > machine_.now()) clock_is_wrong_ = true;
  if (clock_is_wrong_) {
    if (seen_ < sensor_.buffers() + 2) return {};
    return watched_;
  }
  if (started <= previous_) return {};  // the same again, or older: whatever it is, it is not new
  const Micros before = std::exchange(previous_, started);
  if (before < fresh_after_) return {};
  return before;
}

Capture::Result Capture::judge(Frame frame, Micros exposed) {
  const JpegLook look = look_at_jpeg(frame.data(), frame.size());
  if (!look.whole) {
    ++dropped_;
    trouble_ =
        Fault{error::kCameraFailed, std::string("the camera's frames are not whole: ") + look.fault,
              kRetryFailedMs};
    take_coarser();
    return {};
  }
  const FrameSize& size = *wanted_.framesize;
  if (look.width != size.width || look.height != size.height) {
    ++dropped_;
    trouble_ =
        Fault{error::kCameraFailed,
              "the camera's frames have " + pixels(look.width, look.height) + " pixels, not " +
                  pixels(size.width, size.height) + " as " + size.name + " has",
              kRetryFailedMs};
    // A new size takes effect some frames later (esp32-camera #590).
    if (++mismatched_ < sensor_.buffers() + 3) return {};
    return fail(*trouble_);
  }

  frame.trim(look.size);
  Picture picture;
  picture.frame = std::move(frame);
  picture.width = look.width;
  picture.height = look.height;
  picture.exposed = exposed;
  picture.dropped = dropped_;
  picture.flash = flash_;
  picture.quality = wanted_.quality;
  return done(std::move(picture));
}

Capture::Result Capture::nothing_came() {
  trouble_ = Fault{error::kCameraFailed, "the camera gave no frame", kRetryFailedMs};
  take_coarser();
  if (++empty_ >= 2) phase_ = Phase::kReviving;
  return {};
}

// A busy scene doesn't fit into the frame buffer, which has a fifth of a byte for each pixel: its
// frames come without their end, or, as newer drivers drop those, not at all.
void Capture::take_coarser() {
  const int quality = wanted_.quality;
  wanted_.quality = std::min(kMaxQuality, quality + std::max(4, quality / 2));
  phase_ = Phase::kPreparing;
}

Capture::Result Capture::revive() {
  if (revived_) return fail(*trouble_);
  revived_ = true;
  empty_ = 0;
  ++tally_.camera_restarts;
  machine_.log("camera: restarting it: " + trouble_->detail);
  lamp_.off(machine_.now());
  if (!sensor_.restart()) {
    return fail({error::kCameraFailed, sensor_.fault(), kRetryFailedMs});
  }
  changed_ = machine_.now() + kWarmUp;
  phase_ = Phase::kPreparing;
  return {};
}

// What was stored may be too large for this camera, and is made to fit.
bool Capture::apply(Settings& settings) {
  settings.framesize = fitting(settings.framesize, sensor_.largest());
  const bool taken = sensor_.apply(settings);
  if (!(settings == in_force_)) changed_ = std::max(changed_, machine_.now());
  in_force_ = settings;
  return taken;
}

Capture::Result Capture::done(Picture picture) {
  ++tally_.captures;
  leave();
  return Outcome<Picture>(std::move(picture));
}

// What nothing was tried for.
Capture::Result Capture::refuse(Fault fault) {
  leave();
  return Outcome<Picture>(std::move(fault));
}

Capture::Result Capture::fail(Fault fault) {
  ++tally_.failures;
  leave();
  return Outcome<Picture>(std::move(fault));
}

void Capture::leave() {
  lamp_.off(machine_.now());
  if (sensor_.ready()) apply(settings_);
  phase_ = Phase::kIdle;
}

}  // namespace camcore

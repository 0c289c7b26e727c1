// What a request is answered with instead of what it asked for.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace camcore {

// The protocol's error codes (docs/firmware.md).
namespace error {
constexpr const char* kBadRequest = "bad_request";
constexpr const char* kBadFramesize = "bad_framesize";
constexpr const char* kUnknownCommand = "unknown_command";
constexpr const char* kUnauthorized = "unauthorized";
constexpr const char* kBusy = "busy";
constexpr const char* kCameraFailed = "camera_failed";
constexpr const char* kNoFreshFrame = "no_fresh_frame";
constexpr const char* kLowMemory = "low_memory";
}  // namespace error

struct Fault {
  const char* code;
  std::string detail;       // a sentence: what, where, what was expected
  int retry_after_ms = -1;  // -1: asking again is no use, or at once is as good
};

// Either what was asked for or why not.
template <typename T>
using Outcome = std::variant<T, Fault>;

template <typename T>
const Fault* fault_of(const Outcome<T>& outcome) {
  return std::get_if<Fault>(&outcome);
}

}  // namespace camcore

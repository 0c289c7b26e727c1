#include "camcore/gate.h"

#include <algorithm>
#include <cstring>

namespace camcore {
namespace {

constexpr size_t kMaxHeader = 14;  // of a frame: 2, 8 for the length, 4 for the mask
constexpr std::string_view kGet = "GET ";
constexpr std::string_view kEnd = "\r\n\r\n";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

bool contains(std::string_view text, std::string_view word) {
  return std::search(text.begin(), text.end(), word.begin(), word.end(),
                     [](char x, char y) { return lower(x) == y; }) != text.end();
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Whether the library reads the same lines: it ends one at every \n, and the header at the first
// that is blank. Else what it takes for the path may be another than the one that was admitted, and
// the rest of the request for a frame begun, for whose end everybody would wait.
bool is_read_alike(std::string_view request) {
  while (!request.empty()) {
    const size_t end = request.find("\r\n");
    const std::string_view line = request.substr(0, end);
    if (trimmed(line).empty()) return false;
    for (const char c : line) {
      if (static_cast<unsigned char>(c) < ' ' && c != '\t') return false;
    }
    request = end == std::string_view::npos ? std::string_view() : request.substr(end + 2);
  }
  return true;
}

// Whether the header lines ask for a WebSocket. A second line that begins like a request is none:
// the library would take its path for the one that was admitted.
bool asks_for_websocket(std::string_view lines) {
  bool upgrade = false, websocket = false, version = false, key = false;
  while (!lines.empty()) {
    const size_t end = lines.find("\r\n");
    const std::string_view line = lines.substr(0, end);
    lines = end == std::string_view::npos ? std::string_view() : lines.substr(end + 2);
    if (trimmed(line).substr(0, kGet.size()) == kGet) return false;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
    if (same_name(name, "connection")) upgrade = contains(value, "upgrade");
    if (same_name(name, "upgrade")) websocket = same_name(value, "websocket");
    if (same_name(name, "sec-websocket-version")) version = value == "13";
    if (same_name(name, "sec-websocket-key")) key = !value.empty();
  }
  return upgrade && websocket && version && key;
}

}  // namespace

size_t Gate::room() const {
  if (state_ == State::kTooLong || state_ == State::kBroken) return 0;
  const size_t most = greeted_ ? kMaxMessage + kMaxHeader : kMaxRequest;
  const size_t held = held_.size() - at_;
  return held < most ? most - held : 0;
}

void Gate::put(const uint8_t* data, size_t size) {
  held_.append(reinterpret_cast<const char*>(data), size);
  if (state_ == State::kWaiting) look();
}

int Gate::peek() const { return whole_ == 0 ? -1 : static_cast<uint8_t>(held_[at_]); }

size_t Gate::take(uint8_t* out, size_t size) {
  const size_t taken = std::min(size, whole_);
  if (taken == 0) return 0;
  memcpy(out, held_.data() + at_, taken);
  at_ += taken;
  whole_ -= taken;
  if (whole_ == 0) {
    held_.erase(0, at_);
    at_ = 0;
    greeted_ = true;
    look();
  }
  return taken;
}

void Gate::look() {
  state_ = State::kWaiting;
  if (greeted_) {
    look_at_frame();
  } else {
    look_at_request();
  }
  if (whole_ > 0) state_ = State::kWhole;
}

void Gate::look_at_request() {
  const std::string_view held(held_);
  if (held.substr(0, kGet.size()) != kGet.substr(0, held.size())) {
    state_ = State::kBroken;
    return;
  }
  const size_t end = held.find(kEnd, looked_ < kEnd.size() ? 0 : looked_ - kEnd.size());
  looked_ = held.size();
  if (end == std::string_view::npos) {
    if (held.size() >= kMaxRequest) state_ = State::kTooLong;
    return;
  }
  const size_t line = held.find("\r\n");
  const std::string_view target = held.substr(kGet.size(), line - kGet.size());
  path_ = target.substr(0, target.find(' '));
  is_websocket_ = line < end && is_read_alike(held.substr(0, end)) &&
                  asks_for_websocket(held.substr(line + 2, end - line - 2));
  whole_ = end + kEnd.size();
}

// RFC 6455, section 5.2.
void Gate::look_at_frame() {
  if (held_.size() < 2) return;
  const auto byte = [this](size_t i) { return static_cast<uint8_t>(held_[i]); };
  const uint8_t opcode = byte(0) & 0x0f;
  const bool control = (opcode & 0x08) != 0, final = (byte(0) & 0x80) != 0;
  const bool known = opcode <= 2 || (opcode >= 8 && opcode <= 10);
  const uint8_t coded = byte(1) & 0x7f;
  if ((byte(0) & 0x70) != 0 || !known || (byte(1) & 0x80) == 0 ||
      (control && (!final || coded > 125))) {
    state_ = State::kBroken;
    return;
  }
  const size_t more = coded == 126 ? 2 : coded == 127 ? 8 : 0;
  if (held_.size() < 2 + more) return;
  uint64_t length = more == 0 ? coded : 0;
  for (size_t i = 0; i < more; ++i) length = length << 8 | byte(2 + i);
  if (length > kMaxMessage) {
    state_ = State::kTooLong;
    return;
  }
  const size_t size = 2 + more + 4 + static_cast<size_t>(length);
  if (held_.size() >= size) whole_ = size;
}

}  // namespace camcore

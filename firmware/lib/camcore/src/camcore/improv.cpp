#include "camcore/improv.h"

#include <algorithm>
#include <numeric>

#include "camcore/json.h"

namespace camcore {
namespace {

enum class Type : uint8_t { kState = 1, kError = 2, kCommand = 3, kResult = 4 };

constexpr std::string_view kHeader("IMPROV\x01", 7);             // and the version
constexpr std::string_view kCommandHeader("IMPROV\x01\x03", 8);  // and the type
constexpr size_t kHead = kCommandHeader.size() + 1;              // and the length
constexpr size_t kMaxStrings = 253;  // a packet's 255 bytes without command and length

uint8_t checksum(std::string_view bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), uint8_t{0}, [](uint8_t sum, char byte) {
    return static_cast<uint8_t>(sum + static_cast<uint8_t>(byte));
  });
}

std::string packet(Type type, std::string_view data) {
  std::string text(kHeader);
  text += static_cast<char>(type);
  text += static_cast<char>(data.size());
  text += data;
  text += static_cast<char>(checksum(text));
  text += '\n';
  return text;
}

// A string with its length before it, off the front of `data`.
std::optional<std::string> take_string(std::string_view& data) {
  if (data.empty()) return {};
  const size_t size = static_cast<uint8_t>(data[0]);
  if (data.size() < 1 + size) return {};
  std::string text(data.substr(1, size));
  data.remove_prefix(1 + size);
  return text;
}

ImprovReader::Event invalid() { return {{}, ImprovError::kInvalid}; }

ImprovReader::Event parse_wifi(std::string_view data) {
  auto ssid = take_string(data);
  auto password = take_string(data);
  if (!ssid || !password || !data.empty()) return invalid();
  Credentials credentials{std::move(*ssid), std::move(*password)};
  if (check(credentials)) return invalid();
  return {ImprovCommand{ImprovCommand::Kind::kSendWifi, std::move(credentials)},
          ImprovError::kNone};
}

ImprovReader::Event parse_command(std::string_view data) {
  if (data.size() < 2 || data.size() != 2u + static_cast<uint8_t>(data[1])) return invalid();
  const auto simple = [&](ImprovCommand::Kind kind) -> ImprovReader::Event {
    if (data.size() > 2) return invalid();
    return {ImprovCommand{kind, {}}, ImprovError::kNone};
  };
  switch (data[0]) {
    case 1:
      return parse_wifi(data.substr(2));
    case 2:
      return simple(ImprovCommand::Kind::kGetState);
    case 3:
      return simple(ImprovCommand::Kind::kGetInfo);
    case 4:
      return simple(ImprovCommand::Kind::kScan);
    default:
      return {{}, ImprovError::kUnknownCommand};
  }
}

uint8_t number(ImprovCommand::Kind kind) {
  switch (kind) {
    case ImprovCommand::Kind::kSendWifi:
      return 1;
    case ImprovCommand::Kind::kGetState:
      return 2;
    case ImprovCommand::Kind::kGetInfo:
      return 3;
    case ImprovCommand::Kind::kScan:
      return 4;
  }
  return 0;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// The end of `text` that a header may go on from.
std::string_view header_begun(std::string_view text) {
  std::string_view begun = kCommandHeader;
  while (!ends_with(text, begun)) begun.remove_suffix(1);
  return begun;
}

}  // namespace

std::optional<ImprovReader::Event> ImprovReader::put(uint8_t byte) {
  const char c = static_cast<char>(byte);
  if (held_.size() < kCommandHeader.size()) {
    // Only the header's first byte can begin another: there is one I in it.
    if (c != kCommandHeader[held_.size()]) held_.clear();
    if (c == kCommandHeader[held_.size()]) held_ += c;
    return {};
  }
  held_ += c;
  if (held_.size() < kHead) return {};
  // Nothing that a command may hold looks like a header, so that one's packet was cut short, as by
  // a browser's page that was reloaded: here is another.
  if (ends_with(held_, kCommandHeader)) {
    held_ = kCommandHeader;
    return {};
  }
  const size_t end = kHead + static_cast<uint8_t>(held_[kHead - 1]);
  if (held_.size() <= end) return {};
  const std::string all = std::move(held_);
  held_.clear();
  if (checksum({all.data(), end}) == byte) return parse_command({all.data() + kHead, end - kHead});
  // It may have been cut short so near its end that the next one's header has begun in it; that one
  // is what is to be answered then.
  held_ = header_begun(all);
  if (!held_.empty()) return {};
  return invalid();
}

std::string improv_state(ImprovState state) {
  const char data = static_cast<char>(state);
  return packet(Type::kState, {&data, 1});
}

std::string improv_error(ImprovError error) {
  const char data = static_cast<char>(error);
  return packet(Type::kError, {&data, 1});
}

std::string improv_result(ImprovCommand::Kind command, const std::vector<std::string>& strings) {
  std::string list;
  for (const std::string& whole : strings) {
    if (list.size() == kMaxStrings) break;
    const std::string_view text = cut(whole, kMaxStrings - list.size() - 1);
    list += static_cast<char>(text.size());
    list += text;
  }
  std::string data;
  data += static_cast<char>(number(command));
  data += static_cast<char>(list.size());
  return packet(Type::kResult, data + list);
}

}  // namespace camcore

// Improv over serial (improv-wifi.com/serial, version 1): Wi-Fi credentials from a browser.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "camcore/wifi.h"

namespace camcore {

enum class ImprovState : uint8_t { kReady = 2, kProvisioning = 3, kProvisioned = 4 };
enum class ImprovError : uint8_t {
  kNone = 0,
  kInvalid = 1,
  kUnknownCommand = 2,
  kUnableToConnect = 3,
  kUnknown = 255
};

struct ImprovCommand {
  enum class Kind { kSendWifi, kGetState, kGetInfo, kScan } kind;
  Credentials credentials;  // of kSendWifi
};

// Bytes in, commands out. What is no command's packet is skipped, as it may be anything: a person's
// typing, or our own packets and log lines from a line that echoes.
class ImprovReader {
 public:
  struct Event {
    std::optional<ImprovCommand> command;
    ImprovError error = ImprovError::kNone;  // a packet that is broken or unknown, to be answered
  };
  std::optional<Event> put(uint8_t byte);

 private:
  std::string held_;  // a packet so far
};

// Packets to send, whole, with header, checksum and line end.
std::string improv_state(ImprovState state);
std::string improv_error(ImprovError error);
// The answer to a command: its strings, such as the URL to open. The packet has room for 253 bytes
// of them, each with one more; the last ones are cut or left out.
std::string improv_result(ImprovCommand::Kind command, const std::vector<std::string>& strings);

}  // namespace camcore

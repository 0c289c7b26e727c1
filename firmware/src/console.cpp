#include "console.h"

#include <Arduino.h>
#include <WiFi.h>

#include "boards.h"

namespace {

using Command = camcore::ImprovCommand::Kind;
using camcore::ImprovError;
using camcore::ImprovState;

constexpr size_t kLongestWord = 16;
constexpr int kBytesPerRound = 512;

void send(const std::string& packet) {
  Serial.write(reinterpret_cast<const uint8_t*>(packet.data()), packet.size());
}

}  // namespace

void Console::begin() {
  const camcore::Identity& identity = board_.identity();
  machine_.log(identity.name + ": firmware " + identity.firmware + " for " + identity.board +
               ", started by " + machine_.reset_reason());
  if (supervisor_.state() == camcore::WifiSupervisor::State::kUnconfigured) tell_password();
}

void Console::loop() {
  for (int i = 0; i < kBytesPerRound && Serial.available() > 0; ++i) {
    hear(static_cast<uint8_t>(Serial.read()));
  }
  if (scanning_ && WiFi.scanComplete() != WIFI_SCAN_RUNNING) tell_networks();
  const std::optional<bool> worked = wifi_.tried();
  if (!worked || !trying_) return;
  trying_ = false;
  if (*worked) {
    send(camcore::improv_state(ImprovState::kProvisioned));
    send(camcore::improv_result(Command::kSendWifi, {wifi_.url()}));
  } else {
    tell_error(ImprovError::kUnableToConnect);
    tell_state();
  }
}

void Console::hear(uint8_t byte) {
  if (const auto event = improv_.put(byte)) {
    if (event->command) {
      if (in_error_) tell_error(ImprovError::kNone);
      obey(*event->command);
    } else {
      tell_error(event->error);
    }
  }
  if (byte != '\r' && byte != '\n') {
    if (word_.size() <= kLongestWord) word_ += static_cast<char>(byte);
    return;
  }
  if (word_ == "password") tell_password();
  word_.clear();
}

void Console::obey(const camcore::ImprovCommand& command) {
  switch (command.kind) {
    case Command::kSendWifi:
      send(camcore::improv_state(ImprovState::kProvisioning));
      supervisor_.try_out(command.credentials, machine_.now());
      trying_ = true;
      break;
    case Command::kGetState:
      tell_state();
      if (wifi_.linked()) send(camcore::improv_result(Command::kGetState, {wifi_.url()}));
      break;
    case Command::kGetInfo:
      send(camcore::improv_result(Command::kGetInfo, {"esp32cam2mqtt", board_.identity().firmware,
                                                      kBoard.chip, board_.identity().name}));
      break;
    case Command::kScan:
      if (!scanning_) WiFi.scanNetworks(true);
      scanning_ = true;
      break;
  }
}

void Console::tell_error(ImprovError error) {
  send(camcore::improv_error(error));
  in_error_ = error != ImprovError::kNone;
}

void Console::tell_networks() {
  scanning_ = false;
  const int found = WiFi.scanComplete();  // negative: it failed
  for (int i = 0; i < found; ++i) {
    const bool open = WiFi.encryptionType(i) == WIFI_AUTH_OPEN;
    send(camcore::improv_result(
        Command::kScan, {WiFi.SSID(i).c_str(), std::to_string(WiFi.RSSI(i)), open ? "NO" : "YES"}));
  }
  WiFi.scanDelete();
  send(camcore::improv_result(Command::kScan, {}));
}

void Console::tell_state() {
  send(camcore::improv_state(trying_          ? ImprovState::kProvisioning
                             : wifi_.linked() ? ImprovState::kProvisioned
                                              : ImprovState::kReady));
}

void Console::tell_password() {
  machine_.log("this board's password, of its access point and its page: " +
               board_.access().password);
}

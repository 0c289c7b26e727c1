#include "wifi_link.h"

#include <ESPmDNS.h>
#include <WiFi.h>

#include "defaults.h"
#include "update.h"

void WifiLink::begin() {
  WiFi.persistent(false);  // our store has the credentials
  WiFi.setHostname(board_.identity().name.c_str());
  WiFi.mode(WIFI_STA);
  WiFi.setSleep(false);          // with it, answers take up to 300 ms longer
  WiFi.setAutoReconnect(false);  // it gets stuck; the supervisor doesn't (arduino-esp32 #653)
  WiFi.setScanMethod(WIFI_ALL_CHANNEL_SCAN);  // the strongest of a mesh, and not the first
}

void WifiLink::loop() {
  using Do = camcore::WifiSupervisor::Do;
  switch (supervisor_.step(machine_.now(), linked(), WiFi.softAPgetStationNum())) {
    case Do::kNothing:
      break;
    case Do::kConnect:
      connect();
      break;
    case Do::kStartAp:
      start_access_point();
      break;
    case Do::kStopAp:
      machine_.log("access point off");
      WiFi.softAPdisconnect(true);
      WiFi.mode(WIFI_STA);
      break;
    case Do::kRestart:
      machine_.log("no Wi-Fi for too long: restarting");
      machine_.restart();
      break;
    case Do::kAnnounce:
      announce();
      break;
  }
  for (; reconnects_ != supervisor_.reconnects(); ++reconnects_) board_.count_wifi_reconnect();
  if (const std::optional<bool> worked = supervisor_.tried()) {
    tried_ = worked;
    const auto& credentials = supervisor_.credentials();
    if (*worked && credentials && !camcore::save_credentials(store_, *credentials)) {
      machine_.log("the Wi-Fi's name and password could not be stored");
    }
  }
  keep_mdns();
}

bool WifiLink::linked() const { return WiFi.status() == WL_CONNECTED; }

std::string WifiLink::url() const {
  if (!linked()) return "";
  return std::string("http://") + WiFi.localIP().toString().c_str() + "/";
}

std::optional<bool> WifiLink::tried() {
  const std::optional<bool> told = tried_;
  tried_.reset();
  return told;
}

void WifiLink::connect() {
  const auto& credentials = supervisor_.credentials();
  if (!credentials) return;
  machine_.log("connecting to Wi-Fi " + credentials->ssid);
  WiFi.disconnect();
  WiFi.begin(credentials->ssid.c_str(),
             credentials->password.empty() ? nullptr : credentials->password.c_str());
}

void WifiLink::start_access_point() {
  const std::string& name = board_.identity().name;
  WiFi.mode(WIFI_AP_STA);
  const bool on = WiFi.softAP(name.c_str(), board_.access().password.c_str());
  machine_.log(on ? "access point " + name + " with the board's password, page at http://" +
                        WiFi.softAPIP().toString().c_str() + "/"
                  : "the access point did not come up");
}

void WifiLink::announce() {
  machine_.log("on Wi-Fi " + supervisor_.credentials()->ssid + " at " + url());
  keep_this_firmware();  // it can be reached, and so be updated again
  if (announced_auth_ != nullptr) return;
  const camcore::Identity& identity = board_.identity();
  if (!MDNS.begin(identity.name.c_str())) {
    machine_.log("mDNS did not come up");
    return;
  }
  MDNS.setInstanceName(identity.name.c_str());
  MDNS.addService("http", "tcp", HTTP_PORT);
  MDNS.addService("esp32cam", "tcp", WEBSOCKET_PORT);
  const auto tell = [](const char* key, const char* value) {
    MDNS.addServiceTxt("esp32cam", "tcp", key, value);
  };
  tell("proto", "1");
  tell("board", identity.board.c_str());
  tell("mac", WiFi.macAddress().c_str());
  tell("firmware", identity.firmware.c_str());
  announced_auth_ = "";
}

// Whether a key is wanted can change at any time.
void WifiLink::keep_mdns() {
  if (announced_auth_ == nullptr) return;
  const char* const auth = board_.access().key.empty() ? "none" : "hmac";
  if (strcmp(auth, announced_auth_) == 0) return;
  MDNS.addServiceTxt("esp32cam", "tcp", "auth", auth);
  announced_auth_ = auth;
}

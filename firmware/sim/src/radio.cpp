// The radio: one network that exists, and an access point of our own.
#include <WiFi.h>

#include <mutex>
#include <vector>

#include "network.h"
#include "sim.h"

namespace {

using sim::kMs;

constexpr int64_t kToJoin = 60 * kMs;
constexpr int64_t kToBeRefused = 500 * kMs;
constexpr int64_t kToScan = 100 * kMs;
constexpr int8_t kRssi = -57;

struct Network {
  std::string ssid;
  int8_t rssi;
  bool open;
};

std::mutex mutex;
bool up = true;  // the network that exists
wifi_mode_t mode = WIFI_MODE_NULL;
std::string ssid, passphrase;  // what the station was told to join; empty: nothing
int64_t asked_at = 0;
bool seen = false;  // the firmware has looked since, as it has on a board, whose clock never jumps
wl_status_t station = WL_DISCONNECTED;
std::string access_point;  // its name; empty: off
int guests = 0;

int64_t scanned_at = -1;  // -1: there was no scan
std::vector<Network> found;

void leave(wl_status_t status) {
  const bool linked = station == WL_CONNECTED;
  station = status;
  if (linked) sim::net::cut();
}

// What has become of it by now.
void look() {
  if (station == WL_IDLE_STATUS) {
    const int64_t waited = sim::now() - asked_at;
    const bool there = up && ssid == sim::options.ssid;
    const bool right = passphrase == sim::options.wifi_password;
    if (seen && there && right && waited >= kToJoin) {
      station = WL_CONNECTED;
    } else if (seen && waited >= kToBeRefused) {
      station = there ? WL_CONNECT_FAILED : WL_NO_SSID_AVAIL;
    }
  } else if (station == WL_CONNECTED && !up) {
    leave(WL_CONNECTION_LOST);
  }
  sim::net::reach(station == WL_CONNECTED || !access_point.empty());
}

}  // namespace

void sim::set_wifi(bool is_up) {
  const std::lock_guard<std::mutex> lock(mutex);
  up = is_up;
  look();
}

void sim::set_guests(int count) {
  const std::lock_guard<std::mutex> lock(mutex);
  guests = count;
}

bool sim::on_wifi() {
  const std::lock_guard<std::mutex> lock(mutex);
  look();
  return station == WL_CONNECTED;
}

void sim::tell_radio(cJSON* state) {
  const std::lock_guard<std::mutex> lock(mutex);
  look();
  cJSON_AddBoolToObject(state, "wifi", station == WL_CONNECTED);
  cJSON_AddBoolToObject(state, "ap", !access_point.empty());
  cJSON_AddStringToObject(state, "ssid", access_point.c_str());
}

WiFiClass WiFi;

bool WiFiClass::mode(wifi_mode_t wanted) {
  const std::lock_guard<std::mutex> lock(mutex);
  ::mode = wanted;
  if (wanted == WIFI_OFF || wanted == WIFI_AP) leave(WL_DISCONNECTED);
  if (wanted == WIFI_OFF || wanted == WIFI_STA) access_point.clear();
  look();
  return true;
}

wifi_mode_t WiFiClass::getMode() { return ::mode; }

bool WiFiClass::setHostname(const char* name) { return strlen(name) <= 32; }

wl_status_t WiFiClass::begin(const char* wanted, const char* secret, int32_t, const uint8_t*,
                             bool) {
  const std::lock_guard<std::mutex> lock(mutex);
  ssid = wanted;
  passphrase = secret == nullptr ? "" : secret;
  asked_at = sim::now();
  seen = false;
  leave(WL_IDLE_STATUS);
  look();
  return station;
}

bool WiFiClass::disconnect(bool, bool) {
  const std::lock_guard<std::mutex> lock(mutex);
  leave(WL_DISCONNECTED);
  look();
  return true;
}

wl_status_t WiFiClass::status() {
  const std::lock_guard<std::mutex> lock(mutex);
  look();
  seen = true;
  return station;
}

IPAddress WiFiClass::localIP() {
  IPAddress address;
  if (isConnected()) address.fromString(sim::options.host.c_str());
  return address;
}

String WiFiClass::macAddress() {
  std::string text = sim::options.mac;
  for (char& c : text) c = static_cast<char>(toupper(c));
  return String(text);
}

String WiFiClass::SSID() { return isConnected() ? String(ssid) : String(); }

int8_t WiFiClass::RSSI() { return isConnected() ? kRssi : 0; }

bool WiFiClass::softAP(const char* name, const char* secret, int, int, int) {
  if (secret != nullptr && strlen(secret) < 8) return false;  // WPA2's rule, and the core's
  const std::lock_guard<std::mutex> lock(mutex);
  access_point = name;
  look();
  return true;
}

bool WiFiClass::softAPdisconnect(bool) {
  const std::lock_guard<std::mutex> lock(mutex);
  access_point.clear();
  look();
  return true;
}

uint8_t WiFiClass::softAPgetStationNum() { return static_cast<uint8_t>(guests); }

int16_t WiFiClass::scanNetworks(bool async) {
  {
    const std::lock_guard<std::mutex> lock(mutex);
    scanned_at = sim::now();
    found = {{"Neighbours", -78, false}, {"Library", -84, true}};
    if (up) {
      found.insert(found.begin(), {sim::options.ssid, kRssi, sim::options.wifi_password.empty()});
    }
  }
  if (!async) sim::sleep_until(scanned_at + kToScan);
  return scanComplete();
}

int16_t WiFiClass::scanComplete() {
  if (scanned_at < 0) return WIFI_SCAN_FAILED;
  if (sim::now() < scanned_at + kToScan) return WIFI_SCAN_RUNNING;
  return static_cast<int16_t>(found.size());
}

void WiFiClass::scanDelete() {
  scanned_at = -1;
  found.clear();
}

String WiFiClass::SSID(uint8_t network) { return String(found.at(network).ssid); }
int32_t WiFiClass::RSSI(uint8_t network) { return found.at(network).rssi; }

wifi_auth_mode_t WiFiClass::encryptionType(uint8_t network) {
  return found.at(network).open ? WIFI_AUTH_OPEN : WIFI_AUTH_WPA2_PSK;
}

// What the stand-ins share: the options, the clock, and each one's knobs for the control socket.
#pragma once

#include <cJSON.h>

#include <cstdint>
#include <string>

namespace sim {

constexpr int64_t kMs = 1000;  // in microseconds, as all times here are
constexpr int64_t kSecond = 1000 * kMs;

// --- main.cpp
struct Options {
  int ws_port = 81;
  int http_port = 80;
  std::string host = "127.0.0.1";
  std::string mac = "24:0a:c4:1a:2b:3c";
  std::string key;
  std::string password;
  bool allow_legacy = false;
  std::string framesize;  // empty or 0: as stored
  int quality = 0;
  std::string nvs;  // a file; empty: memory that ends with the program
  bool psram = true;
  bool camera = true;
  bool led = true;
  std::string sensor = "OV2640";
  double fps = 15;
  int link_rate = 0;  // bytes per second; 0: as fast as the PC
  std::string ssid = "simulated";
  std::string wifi_password = "simulated";
  bool unconfigured = false;
  bool mdns = false;
  std::string control;
  bool serial = false;
  bool with_parent = false;
};
extern Options options;

// --- boot.cpp: one start of the board after another, in the same process.
struct Boot {
  std::string reason = "power_on";  // why it started
  int restarts = 0;
  // Open files that outlive a restart; -1: none yet.
  int ws = -1;
  int http = -1;
  int control = -1;
  int nvs = -1;
};
extern Boot boot;
void take_over();                               // what the start before has left
[[noreturn]] void restart(const char* reason);  // from any thread; every connection breaks

// --- chip.cpp
int64_t now();               // since the start
void advance(int64_t time);  // let the clock jump
void sleep_until(int64_t time);
void set_heap(uint32_t free, uint32_t largest);
bool was_lit(int64_t from, int64_t to);  // all the time
void watch();                            // call it once a second: restarts a board that hangs
void tell_chip(cJSON* state);

// --- camera.cpp
bool fail(int times, const std::string& kind, int64_t wait);  // times < 0: for ever
void overflow_below(int quality);
void connect_camera(bool connected);
void tell_camera(cJSON* state);

// --- radio.cpp
void set_wifi(bool up);
void set_guests(int count);
bool on_wifi();
void tell_radio(cJSON* state);

// --- mdns.cpp
void tell_mdns(cJSON* state);

// --- nvs.cpp
void open_nvs();
void finish_nvs();  // nothing is written after it

// --- websockets.cpp, update.cpp
void tell_websockets(cJSON* state);
void tell_update(cJSON* state);

// --- control.cpp
void open_control();
void start_control();

}  // namespace sim

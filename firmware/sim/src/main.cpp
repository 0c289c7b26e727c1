// esp32cam-sim: the board's firmware as a program. README.md beside this folder tells of it.
#include <Arduino.h>
#include <getopt.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <thread>

#include "camcore/settings.h"
#include "camcore/wifi.h"
#include "machine.h"
#include "network.h"
#include "sim.h"
#include "store.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

namespace sim {

Options options;

namespace {

constexpr const char* kUsage =
    "usage: esp32cam-sim [options]\n"
    "  --ws-port N, --http-port N   where to listen (81 and 80); 0: any free port\n"
    "  --host ADDRESS               127.0.0.1\n"
    "  --mac 24:0a:c4:1a:2b:3c      of which the board's name is made\n"
    "  --key TEXT, --password TEXT, --allow-legacy, --framesize NAME, --quality N\n"
    "                               as if they had been set\n"
    "  --nvs FILE                   where settings are kept; else they end with the program\n"
    "  --wifi SSID:PASSWORD         the network there is\n"
    "  --unconfigured               the board does not know it yet\n"
    "  --mdns                       it can be found: answers multicast DNS\n"
    "  --no-psram, --no-camera, --no-led, --sensor OV2640|OV3660|OV5640, --fps X\n"
    "  --link-rate BYTES_PER_S      of its Wi-Fi; 0: no limit\n"
    "  --control PATH               a Unix socket for its knobs\n"
    "  --serial                     standard input and output are its serial line\n"
    "  --with-parent                ends with the process that started it\n";

[[noreturn]] void refuse(const std::string& why) {
  fprintf(stderr, "esp32cam-sim: %s\n%s", why.c_str(), kUsage);
  exit(2);
}

template <typename Number>
Number number(const char* name, const char* text, double low, double high) {
  char* end;
  const double value = strtod(text, &end);
  if (*text == '\0' || *end != '\0' || !(value >= low && value <= high)) {
    refuse(std::string("--") + name + ": what is \"" + text + "\"?");
  }
  return static_cast<Number>(value);
}

void read_options(int count, char** words) {
  enum { kText, kFlag, kNoFlag, kPort, kQuality, kFps, kRate, kWifi, kHelp };
  struct Known {
    const char* name;
    int kind;
    void* value;
  };
  const Known known[] = {
      {"ws-port", kPort, &options.ws_port},
      {"http-port", kPort, &options.http_port},
      {"host", kText, &options.host},
      {"mac", kText, &options.mac},
      {"key", kText, &options.key},
      {"password", kText, &options.password},
      {"allow-legacy", kFlag, &options.allow_legacy},
      {"framesize", kText, &options.framesize},
      {"quality", kQuality, &options.quality},
      {"nvs", kText, &options.nvs},
      {"wifi", kWifi, nullptr},
      {"unconfigured", kFlag, &options.unconfigured},
      {"mdns", kFlag, &options.mdns},
      {"no-psram", kNoFlag, &options.psram},
      {"no-camera", kNoFlag, &options.camera},
      {"no-led", kNoFlag, &options.led},
      {"sensor", kText, &options.sensor},
      {"fps", kFps, &options.fps},
      {"link-rate", kRate, &options.link_rate},
      {"control", kText, &options.control},
      {"serial", kFlag, &options.serial},
      {"with-parent", kFlag, &options.with_parent},
      {"help", kHelp, nullptr},
  };
  std::vector<option> names;
  for (const Known& one : known) {
    const bool alone = one.kind == kFlag || one.kind == kNoFlag || one.kind == kHelp;
    names.push_back({one.name, alone ? no_argument : required_argument, nullptr, 0});
  }
  names.push_back({});
  int index = 0;
  for (int found; (found = getopt_long(count, words, "", names.data(), &index)) != -1;) {
    if (found == '?') refuse("which option?");
    const Known& one = known[index];
    switch (one.kind) {
      case kText:
        *static_cast<std::string*>(one.value) = optarg;
        break;
      case kFlag:
      case kNoFlag:
        *static_cast<bool*>(one.value) = one.kind == kFlag;
        break;
      case kPort:
        *static_cast<int*>(one.value) = number<int>(one.name, optarg, 0, 65535);
        break;
      case kQuality:
        options.quality = number<int>(one.name, optarg, camcore::kMinQuality, camcore::kMaxQuality);
        break;
      case kFps:
        options.fps = number<double>(one.name, optarg, 0.1, 1000);
        break;
      case kRate:
        options.link_rate = number<int>(one.name, optarg, 0, 1e9);
        break;
      case kWifi: {
        const std::string wifi = optarg;
        const size_t colon = std::min(wifi.find(':'), wifi.size());
        options.ssid = wifi.substr(0, colon);
        options.wifi_password = wifi.substr(std::min(colon + 1, wifi.size()));
        break;
      }
      case kHelp:
        fputs(kUsage, stdout);
        exit(0);
    }
  }
  if (optind < count) refuse(std::string("what is \"") + words[optind] + "\"?");
  if (options.sensor != "OV2640" && options.sensor != "OV3660" && options.sensor != "OV5640") {
    refuse("--sensor: OV2640, OV3660 or OV5640");
  }
  if (!options.framesize.empty() && camcore::find_framesize(options.framesize) == nullptr) {
    refuse("--framesize: there is no \"" + options.framesize + "\"");
  }
}

// What the options say of settings, written as the firmware itself stores it; at the first start
// only: what is changed while it runs outlives a restart.
void store_options() {
  NvsStore store;
  EspMachine machine;
  camcore::Settings settings = camcore::load_settings(store);
  if (!options.framesize.empty()) settings.framesize = camcore::find_framesize(options.framesize);
  if (options.quality != 0) settings.quality = options.quality;
  camcore::save_settings(store, settings);
  camcore::Access access = camcore::load_access(store, machine);
  if (!options.key.empty()) access.key = options.key;
  if (!options.password.empty()) access.password = options.password;
  if (options.allow_legacy) access.allow_legacy = true;
  camcore::save_access(store, access);
  camcore::Credentials credentials;
  if (!options.unconfigured && !camcore::load_credentials(store, credentials)) {
    camcore::save_credentials(store, {options.ssid, options.wifi_password});
  }
}

sigset_t signals(std::initializer_list<int> numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : numbers) sigaddset(&set, number);
  return set;
}

// Whatever the other threads are at; nothing but a file of NVS would be left half done.
[[noreturn]] void end() {
  finish_nvs();
  if (!options.control.empty()) unlink(options.control.c_str());
#ifdef __SANITIZE_ADDRESS__
  // It stops all threads by a signal that a SIGCONT takes away again, and would wait for ever; and
  // who ends a program that may be frozen sends one.
  const sigset_t thaw = signals({SIGCONT});
  const timespec time = {0, 200'000'000};
  sigtimedwait(&thaw, nullptr, &time);
  __lsan_do_leak_check();
#endif
  _exit(0);
}

void end_on_signals() {
  signal(SIGPIPE, SIG_IGN);
  const sigset_t all = signals({SIGTERM, SIGINT, SIGCONT});
  pthread_sigmask(SIG_BLOCK, &all, nullptr);  // of all threads, as they inherit it
  std::thread([] {
    const sigset_t ends = signals({SIGTERM, SIGINT});
    int which;
    sigwait(&ends, &which);
    end();
  }).detach();
  if (options.with_parent) prctl(PR_SET_PDEATHSIG, SIGTERM);
}

void say_where() {
  const std::string line = "{\"ws\":\"ws://" + options.host + ":" +
                           std::to_string(net::number(net::kWebSocket)) + "\",\"http\":\"http://" +
                           options.host + ":" + std::to_string(net::number(net::kHttp)) + "\"}\n";
  const int fd = options.serial ? STDERR_FILENO : STDOUT_FILENO;
  if (::write(fd, line.data(), line.size()) < 0) perror("esp32cam-sim");
}

int run(int count, char** words) {
  read_options(count, words);
  take_over();
  end_on_signals();
  if (!net::reserve()) {
    perror("esp32cam-sim: no port");
    return 1;
  }
  open_nvs();
  open_control();
  if (boot.restarts == 0) store_options();
  connect_camera(options.camera);
  start_control();
  setup();
  for (bool said = false;;) {
    loop();
    if (!said && net::all_listen()) {
      say_where();
      said = true;
    }
  }
}

}  // namespace
}  // namespace sim

int main(int count, char** words) { return sim::run(count, words); }

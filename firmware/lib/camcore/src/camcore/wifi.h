// Keeping a board on its Wi-Fi: a state machine that says what to do, and does nothing itself.
#pragma once

#include <optional>
#include <string>

#include "camcore/fault.h"
#include "camcore/platform.h"

namespace camcore {

constexpr Micros kWifiTry = 15 * kSecond;  // for one attempt to connect (easytarget's watchdog too)
constexpr Micros kWifiToAp = 60 * kSecond;  // without Wi-Fi before the access point comes up
constexpr Micros kWifiToRestart =
    15 * 60 * kSecond;  // without Wi-Fi and without anybody at the access point

struct Credentials {
  std::string ssid;      // 1 to 32 bytes
  std::string password;  // empty: an open network; else 8 to 63 characters
};

// bad_request names the fault.
std::optional<Fault> check(const Credentials& credentials);
bool load_credentials(Store& store, Credentials& credentials);
bool save_credentials(Store& store, const Credentials& credentials);

class WifiSupervisor {
 public:
  enum class Do {
    kNothing,
    kConnect,  // disconnect, and begin with `credentials()`
    kStartAp,  // beside the station
    kStopAp,
    kRestart,   // the radio is stuck: nothing helped
    kAnnounce,  // we are online: mDNS, and tell who waits for it
  };
  enum class State { kUnconfigured, kConnecting, kOnline };

  explicit WifiSupervisor(std::optional<Credentials> stored);

  // What is to be done now; call it in every round of the loop.
  //   linked: the station has an address.
  //   guests: stations at our access point.
  Do step(Micros now, bool linked, int guests);

  // New credentials to try, from Improv or the page; those in force come back if they don't work.
  void try_out(const Credentials& credentials, Micros now);
  // How that went: nothing while it is tried. Told once.
  std::optional<bool> tried();

  State state() const { return state_; }
  bool ap() const { return ap_; }
  const std::optional<Credentials>& credentials() const { return credentials_; }
  uint32_t reconnects() const { return reconnects_; }

 private:
  State state_;
  std::optional<Credentials> credentials_;
  bool ap_ = false;
  uint32_t reconnects_ = 0;
};

}  // namespace camcore

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
constexpr Micros kWifiTrial = 30 * kSecond;  // for new credentials: two attempts
constexpr Micros kWifiToSwitch =
    500 * kMillisecond;  // until then the answer to who brought new ones is out, on the old link
constexpr Micros kApToEnd = 60 * kSecond;  // online and without guests before it goes again

struct Credentials {
  std::string ssid;      // 1 to 32 bytes of UTF-8
  std::string password;  // empty: an open network; else 8 to 63 characters, or the key as 64 hex
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
  // The same for the page, as often as it likes.
  enum class Trial { kNone, kUnderWay, kWorked, kFailed };
  Trial trial() const { return trial_; }

  State state() const { return state_; }
  bool ap() const { return ap_; }
  const std::optional<Credentials>& credentials() const { return credentials_; }
  uint32_t reconnects() const { return reconnects_; }

 private:
  Do online(Micros now, int guests);
  Do offline(Micros now, int guests);
  Do connect(Micros now);
  void connect_soon(Micros now);
  Do end_trial(Micros now);
  bool believes(Micros now, bool linked);

  State state_;
  std::optional<Credentials> credentials_;
  bool ap_ = false;
  uint32_t reconnects_ = 0;

  Micros connect_at_ = 0;               // the next attempt
  std::optional<Micros> connected_at_;  // the last one
  int attempts_ = 0;                    // in vain since the link was there
  bool left_ = true;                    // the link before the last attempt is certainly gone
  bool lost_ = false;                   // the link went by itself
  Micros changed_at_ = 0;               // when it came or went
  Micros guest_at_ = 0;                 // when a guest was seen last

  Trial trial_ = Trial::kNone;
  bool told_ = true;
  bool switched_ = false;  // the trial has begun
  Micros trial_ends_ = 0;
  std::optional<Credentials> earlier_;  // to come back to
};

}  // namespace camcore

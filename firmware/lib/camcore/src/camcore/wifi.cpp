#include "camcore/wifi.h"

#include <algorithm>

#include "camcore/json.h"

namespace camcore {
namespace {

constexpr const char* kStoreKey = "wifi";
constexpr int kVersion = 1;
constexpr size_t kMaxStored = 512;  // 32 bytes of SSID, each escaped, and 64 of password

constexpr Micros kBetween = kSecond;            // two attempts, whatever happens
constexpr Micros kLongestPause = 30 * kSecond;  // after an attempt
// The radio scans all channels for the network, and a guest at the access point loses it meanwhile.
constexpr Micros kPauseForGuests = 60 * kSecond;
// The driver tells of a link's end by an event, so for a moment the link that an attempt ended
// still seems to be there.
constexpr Micros kToLeave = 2 * kSecond;

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

Micros pause_after(int attempts) {
  return attempts > 5 ? kLongestPause : std::min(kSecond << (attempts - 1), kLongestPause);
}

}  // namespace

std::optional<Fault> check(const Credentials& credentials) {
  const std::string& ssid = credentials.ssid;
  if (ssid.empty() || ssid.size() > 32 || ssid.find('\0') != std::string::npos || !is_utf8(ssid)) {
    return Fault{error::kBadRequest, "ssid: expected 1 to 32 bytes of UTF-8", -1};
  }
  const std::string& password = credentials.password;
  const bool is_passphrase = password.size() >= 8 && password.size() <= 63;
  if (!password.empty() && !(is_passphrase && is_printable(password)) &&
      !(password.size() == 64 && is_hex(password))) {
    return Fault{error::kBadRequest,
                 "password: expected 8 to 63 printable ASCII characters, 64 hex digits, or nothing "
                 "for an open network",
                 -1};
  }
  return {};
}

bool load_credentials(Store& store, Credentials& credentials) {
  std::string text;
  if (!store.load(kStoreKey, text)) return false;
  const auto stored = parse_object(text, kMaxStored);
  const Json* json = std::get_if<Json>(&stored);
  if (json == nullptr) return false;
  const cJSON* ssid = member(json->get(), "ssid");
  const cJSON* password = member(json->get(), "password");
  if (!cJSON_IsString(ssid) || !cJSON_IsString(password)) return false;
  Credentials known{ssid->valuestring, password->valuestring};
  if (check(known)) return false;
  credentials = std::move(known);
  return true;
}

bool save_credentials(Store& store, const Credentials& credentials) {
  Writer out;
  out.add("v", kVersion).add("ssid", credentials.ssid).add("password", credentials.password);
  return store.save(kStoreKey, out.done());
}

WifiSupervisor::WifiSupervisor(std::optional<Credentials> stored)
    : state_(stored ? State::kConnecting : State::kUnconfigured), credentials_(std::move(stored)) {}

WifiSupervisor::Do WifiSupervisor::step(Micros now, bool linked, int guests) {
  if (guests > 0) guest_at_ = now;
  if (trial_ == Trial::kUnderWay) {
    if (!switched_) {
      if (now < connect_at_) return Do::kNothing;
      switched_ = true;
      return connect(now);
    }
    if (now >= trial_ends_ && !believes(now, linked)) return end_trial(now);
  }
  if (!credentials_) {
    if (ap_) return Do::kNothing;
    ap_ = true;
    return Do::kStartAp;
  }
  return believes(now, linked) ? online(now, guests) : offline(now, guests);
}

// Whether the link that is there is that of the last attempt.
bool WifiSupervisor::believes(Micros now, bool linked) {
  if (!linked || (connected_at_ && now - *connected_at_ >= kToLeave)) left_ = true;
  return linked && left_;
}

WifiSupervisor::Do WifiSupervisor::online(Micros now, int guests) {
  if (state_ != State::kOnline) {
    state_ = State::kOnline;
    changed_at_ = now;
    attempts_ = 0;
    if (lost_) ++reconnects_;
    lost_ = false;
    if (trial_ == Trial::kUnderWay) {
      trial_ = Trial::kWorked;
      earlier_.reset();
    }
    return Do::kAnnounce;
  }
  if (ap_ && guests == 0 && now - std::max(changed_at_, guest_at_) >= kApToEnd) {
    ap_ = false;
    return Do::kStopAp;
  }
  return Do::kNothing;
}

WifiSupervisor::Do WifiSupervisor::offline(Micros now, int guests) {
  if (state_ == State::kOnline) {
    state_ = State::kConnecting;
    changed_at_ = now;
    lost_ = true;
    connect_soon(now);
  }
  if (!ap_ && now - changed_at_ >= kWifiToAp) {
    ap_ = true;
    return Do::kStartAp;
  }
  const bool trying = trial_ == Trial::kUnderWay;
  if (!trying && now - std::max(changed_at_, guest_at_) >= kWifiToRestart) {
    guest_at_ = now;  // said once, and again only if it did not happen
    return Do::kRestart;
  }
  Micros due = connect_at_;
  if (guests > 0 && !trying && attempts_ > 0) {
    due = std::max(due, *connected_at_ + kWifiTry + kPauseForGuests);
  }
  return now >= due ? connect(now) : Do::kNothing;
}

WifiSupervisor::Do WifiSupervisor::connect(Micros now) {
  if (state_ == State::kOnline) changed_at_ = now;
  state_ = State::kConnecting;
  connected_at_ = now;
  left_ = false;
  ++attempts_;
  connect_at_ = now + kWifiTry + pause_after(attempts_);
  return Do::kConnect;
}

void WifiSupervisor::try_out(const Credentials& credentials, Micros now) {
  if (trial_ != Trial::kUnderWay) earlier_ = credentials_;
  credentials_ = credentials;
  trial_ = Trial::kUnderWay;
  told_ = false;
  switched_ = false;
  attempts_ = 0;
  connect_soon(now + kWifiToSwitch);
  trial_ends_ = connect_at_ + kWifiTrial;
}

WifiSupervisor::Do WifiSupervisor::end_trial(Micros now) {
  trial_ = Trial::kFailed;
  credentials_ = std::move(earlier_);
  earlier_.reset();
  attempts_ = 0;
  guest_at_ = now;  // who brought them may be at the serial line, and about to bring others
  connect_soon(now);
  if (!credentials_) state_ = State::kUnconfigured;
  return Do::kNothing;
}

void WifiSupervisor::connect_soon(Micros now) {
  connect_at_ = connected_at_ ? std::max(now, *connected_at_ + kBetween) : now;
}

std::optional<bool> WifiSupervisor::tried() {
  if (trial_ == Trial::kNone || trial_ == Trial::kUnderWay || told_) return {};
  told_ = true;
  return trial_ == Trial::kWorked;
}

}  // namespace camcore

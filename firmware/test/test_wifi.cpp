#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "camcore/wifi.h"
#include "fakes.h"

using namespace camcore;
using fakes::MapStore;

namespace {

using Do = WifiSupervisor::Do;
using State = WifiSupervisor::State;

constexpr Micros kMinute = 60 * kSecond;
constexpr Micros kHour = 60 * kMinute;

const Credentials kHome{"home", "sesame-sesame"};
const Credentials kOther{"other", "12345678"};

struct Told {
  Do what;
  Micros at;
};

// A radio and whoever obeys the supervisor. Joining takes a while and needs the right credentials.
struct Radio {
  explicit Radio(std::optional<Credentials> stored) : supervisor(std::move(stored)) {}

  void round(Micros pause) {
    now += pause;
    if (attempting && now >= joined_at) {  // one try, as the driver without its auto-reconnect
      attempting = false;
      linked = possible();
    }
    if (!possible() && lingering_until <= now) linked = false;
    const Do what = supervisor.step(now, linked, guests);
    if (what == Do::kNothing) return;
    told.push_back({what, now});
    if (what == Do::kConnect) {
      REQUIRE(supervisor.credentials());
      joining = *supervisor.credentials();
      joined_at = now + to_join;
      attempting = true;
      if (linked && event_takes > 0) lingering_until = now + event_takes;
      if (event_takes == 0) linked = false;
    }
    if (what == Do::kStartAp) ap = true;
    if (what == Do::kStopAp) ap = false;
    if (what == Do::kRestart) ++restarts;
  }

  // In rounds of 100 ms.
  void run(Micros time) {
    for (const Micros end = now + time; now < end;) round(100 * kMillisecond);
  }

  bool possible() const {
    return up && joining.ssid == network.ssid && joining.password == network.password;
  }

  int count(Do what) const {
    return static_cast<int>(
        std::count_if(told.begin(), told.end(), [&](const Told& t) { return t.what == what; }));
  }

  std::vector<Micros> times(Do what) const {
    std::vector<Micros> at;
    for (const Told& t : told) {
      if (t.what == what) at.push_back(t.at);
    }
    return at;
  }

  WifiSupervisor supervisor;
  Credentials network = kHome;
  bool up = true;
  int guests = 0;
  Micros to_join = 2 * kSecond;
  Micros event_takes = 0;  // how long a link that was ended still seems to be there

  Micros now = 0;
  Credentials joining;
  bool attempting = false;
  Micros joined_at = 0;
  Micros lingering_until = 0;
  bool linked = false;
  bool ap = false;
  int restarts = 0;
  std::vector<Told> told;
};

Radio online() {
  Radio radio(kHome);
  radio.run(10 * kSecond);
  REQUIRE(radio.supervisor.state() == State::kOnline);
  radio.told.clear();
  return radio;
}

}  // namespace

TEST_CASE("what can be no network's name or password is refused, and which it is") {
  const auto fault_in = [](const std::string& ssid, const std::string& password) {
    const auto fault = check({ssid, password});
    if (!fault) return std::string();
    CHECK(std::string(fault->code) == error::kBadRequest);
    return fault->detail.substr(0, fault->detail.find(':'));
  };
  CHECK(fault_in("home", "") == "");
  CHECK(fault_in("home", "12345678") == "");
  CHECK(fault_in("home", std::string(63, '~')) == "");
  CHECK(fault_in("home", std::string(64, 'F')) == "");
  CHECK(fault_in(std::string(32, 'x'), "") == "");
  CHECK(fault_in("Büro ☕", "") == "");
  CHECK(fault_in("", "12345678") == "ssid");
  CHECK(fault_in(std::string(33, 'x'), "") == "ssid");
  CHECK(fault_in(std::string("ho\0me", 5), "") == "ssid");
  CHECK(fault_in("h\xf6me", "") == "ssid");
  CHECK(fault_in("home", "1234567") == "password");
  CHECK(fault_in("home", std::string(64, 'x')) == "password");
  CHECK(fault_in("home", std::string(65, 'F')) == "password");
  CHECK(fault_in("home", "12345678\n") == "password");
  CHECK(fault_in("home", "pässword") == "password");
}

TEST_CASE("a fault in a password does not show it") {
  const auto fault = check({"home", "s3cret"});
  REQUIRE(fault);
  CHECK(fault->detail.find("s3cret") == std::string::npos);
}

TEST_CASE("credentials are read back as they were stored, whatever is in them") {
  MapStore store;
  Credentials loaded;
  CHECK_FALSE(load_credentials(store, loaded));
  for (const std::string& ssid :
       {std::string("home"), std::string("\"\\\t{}☕"), std::string(32, '\x01')}) {
    CHECK(save_credentials(store, {ssid, "\"\\\\{}:,'~ "}));
    CHECK(load_credentials(store, loaded));
    CHECK(loaded.ssid == ssid);
    CHECK(loaded.password == "\"\\\\{}:,'~ ");
  }
  store.full = true;
  CHECK_FALSE(save_credentials(store, kHome));
}

TEST_CASE("stored credentials that are no good are none") {
  MapStore store;
  for (const char* text :
       {"", "{", "[]", "{}", R"({"v":1,"ssid":"home"})", R"({"v":1,"ssid":7,"password":""})",
        R"({"v":1,"ssid":"","password":""})", R"({"v":1,"ssid":"home","password":"short"})"}) {
    store.texts["wifi"] = text;
    Credentials loaded = kOther;
    CHECK_FALSE(load_credentials(store, loaded));
    CHECK(loaded.ssid == kOther.ssid);
  }
}

TEST_CASE("a board without credentials opens its access point at once, and for good") {
  Radio radio({});
  CHECK(radio.supervisor.state() == State::kUnconfigured);
  radio.run(24 * kHour);
  REQUIRE(radio.told.size() == 1);
  CHECK(radio.told[0].what == Do::kStartAp);
  CHECK(radio.told[0].at <= kSecond);
  CHECK(radio.supervisor.ap());
}

TEST_CASE("a board with credentials connects at once and says so") {
  Radio radio(kHome);
  radio.run(10 * kSecond);
  REQUIRE(radio.told.size() == 2);
  CHECK(radio.told[0].what == Do::kConnect);
  CHECK(radio.told[1].what == Do::kAnnounce);
  CHECK(radio.supervisor.state() == State::kOnline);
  CHECK(radio.supervisor.reconnects() == 0);
  radio.run(24 * kHour);
  CHECK(radio.told.size() == 2);
}

TEST_CASE("pauses between attempts grow, to half a minute") {
  Radio radio(kHome);
  radio.up = false;
  radio.run(5 * kMinute);
  const auto at = radio.times(Do::kConnect);
  REQUIRE(at.size() >= 8);
  const Micros pauses[] = {1, 2, 4, 8, 16, 30, 30};
  for (size_t i = 0; i < 7; ++i) {
    const Micros pause = at[i + 1] - at[i] - kWifiTry;
    CHECK(pause >= pauses[i] * kSecond);
    CHECK(pause <= pauses[i] * kSecond + 200 * kMillisecond);
  }
}

TEST_CASE(
    "without Wi-Fi the access point comes up beside the attempts, and goes after it is back") {
  Radio radio = online();
  radio.up = false;
  radio.run(kWifiToAp - kSecond);
  CHECK_FALSE(radio.ap);
  radio.run(2 * kSecond);
  CHECK(radio.ap);
  const int attempts = radio.count(Do::kConnect);
  radio.run(2 * kMinute);
  CHECK(radio.count(Do::kConnect) > attempts);
  radio.up = true;
  radio.run(kMinute + kWifiTry);
  CHECK(radio.supervisor.state() == State::kOnline);
  CHECK(radio.supervisor.reconnects() == 1);
  radio.run(kApToEnd);
  CHECK_FALSE(radio.ap);
  CHECK_FALSE(radio.supervisor.ap());
}

TEST_CASE("the access point stays while somebody is there, and a minute longer") {
  Radio radio = online();
  radio.up = false;
  radio.run(2 * kMinute);
  radio.up = true;
  radio.guests = 1;
  radio.run(10 * kMinute);
  CHECK(radio.supervisor.state() == State::kOnline);
  CHECK(radio.ap);
  radio.guests = 0;
  radio.run(kApToEnd - kSecond);
  CHECK(radio.ap);
  radio.run(2 * kSecond);
  CHECK_FALSE(radio.ap);
}

TEST_CASE("a link that is lost is tried again at once") {
  Radio radio = online();
  radio.up = false;
  radio.run(kSecond);
  REQUIRE(radio.told.size() == 1);
  CHECK(radio.told[0].what == Do::kConnect);
  radio.up = true;
  radio.run(5 * kSecond);
  CHECK(radio.count(Do::kAnnounce) == 1);
  CHECK(radio.supervisor.reconnects() == 1);
}

TEST_CASE("a link that comes and goes is not joined more than once a second") {
  Radio radio = online();
  radio.to_join = 0;
  for (int i = 0; i < 10; ++i) {
    radio.up = false;
    radio.run(200 * kMillisecond);
    radio.up = true;
    while (radio.supervisor.state() != State::kOnline) radio.run(100 * kMillisecond);
  }
  const auto at = radio.times(Do::kConnect);
  REQUIRE(at.size() >= 10);
  for (size_t i = 1; i < at.size(); ++i) CHECK(at[i] - at[i - 1] >= kSecond);
}

TEST_CASE("attempts are rare while somebody is at the access point") {
  Radio radio = online();
  radio.up = false;
  radio.run(2 * kMinute);
  radio.guests = 1;
  radio.run(kMinute);  // the attempt that was under way
  radio.told.clear();
  radio.run(30 * kMinute);
  const auto at = radio.times(Do::kConnect);
  REQUIRE(at.size() >= 20);
  for (size_t i = 1; i < at.size(); ++i) CHECK(at[i] - at[i - 1] >= kWifiTry + kMinute);
  CHECK(radio.restarts == 0);
}

TEST_CASE(
    "a link that is lost with a guest at the access point is tried again at once all the same") {
  Radio radio = online();
  radio.guests = 1;
  radio.up = false;
  radio.run(kSecond);
  CHECK(radio.count(Do::kConnect) == 1);
}

TEST_CASE("after a quarter of an hour without Wi-Fi and guests the board restarts, once") {
  for (const bool was_online : {false, true}) {
    Radio radio(kHome);
    radio.up = was_online;
    radio.run(kMinute);
    radio.up = false;
    radio.run(kWifiToRestart - kMinute - kSecond);
    CHECK(radio.restarts == 0);
    radio.run(2 * kMinute);
    CHECK(radio.restarts == 1);
    CHECK(radio.ap);
  }
}

TEST_CASE("a guest keeps the board from restarting, and has time to come back") {
  Radio radio = online();
  radio.up = false;
  radio.run(10 * kMinute);
  radio.guests = 1;
  radio.run(kHour);
  radio.guests = 0;
  radio.run(kWifiToRestart - kSecond);
  CHECK(radio.restarts == 0);
  radio.run(2 * kSecond);
  CHECK(radio.restarts == 1);
}

TEST_CASE("who is trying out credentials is not cut short by a restart") {
  Radio radio = online();
  radio.up = false;
  radio.run(kWifiToRestart - 10 * kSecond);
  radio.supervisor.try_out(kOther, radio.now);
  radio.run(5 * kMinute);
  CHECK(radio.supervisor.tried() == std::optional<bool>(false));
  CHECK(radio.restarts == 0);
}

TEST_CASE("new credentials that work are told once, and kept") {
  Radio radio({});
  radio.guests = 1;  // who brings them
  radio.run(kSecond);
  CHECK(radio.supervisor.trial() == WifiSupervisor::Trial::kNone);
  radio.supervisor.try_out(kHome, radio.now);
  CHECK(radio.supervisor.trial() == WifiSupervisor::Trial::kUnderWay);
  CHECK_FALSE(radio.supervisor.tried());
  radio.run(5 * kSecond);
  CHECK(radio.supervisor.trial() == WifiSupervisor::Trial::kWorked);
  CHECK(radio.supervisor.tried() == std::optional<bool>(true));
  CHECK_FALSE(radio.supervisor.tried());
  CHECK(radio.supervisor.credentials()->ssid == kHome.ssid);
  CHECK(radio.supervisor.reconnects() == 0);
  CHECK(radio.ap);
  radio.guests = 0;
  radio.run(kApToEnd + kSecond);
  CHECK_FALSE(radio.ap);
}

TEST_CASE("the answer to who brought new credentials has time to get out") {
  Radio radio = online();
  const Micros asked = radio.now;
  radio.supervisor.try_out(kOther, asked);
  radio.run(kSecond);
  REQUIRE(radio.count(Do::kConnect) == 1);
  CHECK(radio.times(Do::kConnect)[0] >= asked + kWifiToSwitch);
  CHECK(radio.joining.ssid == kOther.ssid);
}

TEST_CASE("after new credentials that don't work the earlier ones come back") {
  for (const int guests : {0, 1}) {
    Radio radio = online();
    radio.up = false;
    radio.run(kSecond);
    radio.up = true;
    radio.run(10 * kMinute);
    radio.told.clear();
    radio.guests = guests;
    radio.supervisor.try_out(kOther, radio.now);
    radio.run(kWifiTrial);
    CHECK_FALSE(radio.supervisor.tried());
    CHECK(radio.count(Do::kConnect) == 2);
    radio.run(5 * kSecond);
    CHECK(radio.supervisor.tried() == std::optional<bool>(false));
    CHECK(radio.supervisor.trial() == WifiSupervisor::Trial::kFailed);
    CHECK(radio.supervisor.state() == State::kOnline);
    CHECK(radio.supervisor.credentials()->ssid == kHome.ssid);
    CHECK(radio.supervisor.reconnects() == 1);  // the link that was lost, not the trial
    CHECK_FALSE(radio.ap);
  }
}

TEST_CASE("a new board stays at its access point after credentials that don't work") {
  Radio radio({});
  radio.run(kSecond);
  radio.supervisor.try_out(kOther, radio.now);
  radio.run(kMinute);
  CHECK(radio.supervisor.tried() == std::optional<bool>(false));
  CHECK(radio.supervisor.state() == State::kUnconfigured);
  CHECK_FALSE(radio.supervisor.credentials());
  CHECK(radio.ap);
  radio.supervisor.try_out(kHome, radio.now);
  radio.run(5 * kSecond);
  CHECK(radio.supervisor.state() == State::kOnline);
}

TEST_CASE("credentials that are brought while others are tried take their place") {
  Radio radio = online();
  radio.supervisor.try_out({"a", ""}, radio.now);
  radio.run(5 * kSecond);
  radio.supervisor.try_out({"b", ""}, radio.now);
  radio.run(10 * kSecond);
  CHECK(radio.joining.ssid == "b");
  radio.run(kMinute);
  CHECK(radio.supervisor.tried() == std::optional<bool>(false));
  CHECK_FALSE(radio.supervisor.tried());
  CHECK(radio.supervisor.state() == State::kOnline);
  CHECK(radio.supervisor.credentials()->ssid == kHome.ssid);
}

TEST_CASE("the old link's last moments don't pass for the success of new credentials") {
  Radio radio = online();
  radio.event_takes = 300 * kMillisecond;
  radio.supervisor.try_out(kOther, radio.now);
  radio.run(10 * kSecond);
  CHECK(radio.supervisor.trial() == WifiSupervisor::Trial::kUnderWay);
  radio.run(kMinute);
  CHECK(radio.supervisor.tried() == std::optional<bool>(false));
}

TEST_CASE("a loop that was held up does not miss that new credentials worked") {
  Radio radio = online();
  radio.network = kOther;
  radio.up = false;
  radio.supervisor.try_out(kOther, radio.now);
  radio.run(kSecond);
  radio.up = true;
  radio.now += 40 * kSecond;
  radio.run(100 * kMillisecond);
  CHECK(radio.supervisor.tried() == std::optional<bool>(true));
}

TEST_CASE("a month of networks that come and go get no board stuck") {
  std::mt19937 random(4);
  const auto pick = [&](Micros low, Micros high) {
    return std::uniform_int_distribution<Micros>(low, high)(random);
  };
  Radio radio(kHome);
  Micros possible_since = 0, impossible_since = -1;
  Micros last_connect = -kHour, last_restart = 0;
  Micros change_at = 0;
  size_t seen = 0;
  uint32_t reconnects = 0;
  while (radio.now < 30 * 24 * kHour) {
    if (radio.now >= change_at) {
      switch (pick(0, 9)) {
        case 0:
          radio.guests = static_cast<int>(pick(0, 1));
          break;
        case 1:
          radio.supervisor.try_out(pick(0, 1) ? kHome : kOther, radio.now);
          possible_since = -1;  // it may have had to leave a network that was there
          break;
        case 2:
          radio.network = pick(0, 3) ? kHome : kOther;
          break;
        default:
          radio.up = !radio.up;
      }
      radio.to_join = pick(0, 8) * kSecond;
      radio.event_takes = pick(0, 1) * pick(0, 1500) * kMillisecond;
      change_at = radio.now + (pick(0, 2) ? pick(0, 20 * kSecond) : pick(0, 2 * kHour));
    }
    radio.round(pick(0, 20) ? pick(200 * kMillisecond, 2 * kSecond) : pick(0, 10 * kMillisecond));

    const auto& known = radio.supervisor.credentials();
    REQUIRE(known);  // it had some, and is never left without
    const bool possible = radio.up && known->ssid == radio.network.ssid;
    if (!possible) {
      possible_since = -1;
      if (impossible_since < 0) impossible_since = radio.now;
    } else {
      impossible_since = -1;
      if (possible_since < 0) possible_since = radio.now;
    }
    // Online again soon: a guest's 75 s and an attempt later at the latest.
    if (possible && radio.now - possible_since > 95 * kSecond) {
      REQUIRE(radio.supervisor.state() == State::kOnline);
    }
    if (!radio.linked && radio.supervisor.state() == State::kConnecting && impossible_since >= 0 &&
        radio.now - impossible_since > kWifiToAp + 60 * kSecond) {
      REQUIRE(radio.ap);
    }
    REQUIRE(radio.supervisor.reconnects() >= reconnects);
    reconnects = radio.supervisor.reconnects();
    for (; seen < radio.told.size(); ++seen) {
      const Told& told = radio.told[seen];
      if (told.what == Do::kConnect) {
        REQUIRE(told.at - last_connect >= kSecond);
        last_connect = told.at;
      }
      if (told.what == Do::kRestart) {
        REQUIRE(told.at - last_restart >= kWifiToRestart);
        REQUIRE(radio.guests == 0);
        last_restart = told.at;
      }
    }
  }
  CHECK(radio.count(Do::kAnnounce) > 300);
  CHECK(radio.restarts > 10);
  CHECK(reconnects > 100);
}

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "camcore/lamp.h"
#include "camcore/settings.h"

using namespace camcore;

namespace {

struct CountingLed : Led {
  bool there() const override { return is_there; }
  void set(int percent) override {
    ++sets;
    level = percent;
  }
  bool is_there = true;
  int sets = 0;
  int level = 0;
};

constexpr Micros kMinute = 60 * kSecond;

}  // namespace

TEST_CASE("the lamp is no brighter than its board can stand") {
  CountingLed led;
  Lamp lamp(led);
  CHECK(lamp.on(100, kSecond));
  CHECK(led.level == kMaxFlashLevel);
  lamp.off(2 * kSecond);
  CHECK(led.level == 0);
  CHECK(lamp.on(1, 3 * kSecond));
  CHECK(led.level == 1);
}

TEST_CASE("the LED is set only when something changes") {
  CountingLed led;
  Lamp lamp(led);
  lamp.off(0);
  lamp.tick(0);
  CHECK(led.sets == 0);
  CHECK(lamp.on(50, kSecond));
  CHECK(lamp.on(50, 2 * kSecond));
  CHECK(led.sets == 1);
  CHECK(lamp.since() == kSecond);
  lamp.off(3 * kSecond);
  lamp.off(4 * kSecond);
  CHECK(led.sets == 2);
}

TEST_CASE("a board without an LED has no lamp that could be on") {
  CountingLed led;
  led.is_there = false;
  Lamp lamp(led);
  CHECK_FALSE(lamp.there());
  CHECK_FALSE(lamp.on(50, kSecond));
  CHECK_FALSE(lamp.lit());
  CHECK(led.sets == 0);
}

TEST_CASE("a lamp that was forgotten goes out by itself") {
  CountingLed led;
  Lamp lamp(led);
  CHECK(lamp.on(50, kSecond));
  lamp.tick(kSecond + kMaxLit - 1);
  CHECK(lamp.lit());
  lamp.tick(kSecond + kMaxLit);
  CHECK_FALSE(lamp.lit());
  CHECK(led.level == 0);
}

TEST_CASE("ten flashes of half a second may follow each other at once") {
  CountingLed led;
  Lamp lamp(led);
  Micros now = kSecond;
  for (int i = 0; i < 10; ++i) {
    REQUIRE(lamp.on(50, now));
    lamp.off(now += kSecond / 2);
    now += kSecond / 10;
  }
}

TEST_CASE("a lamp that was on for long has to cool down, and says for how long") {
  CountingLed led;
  Lamp lamp(led);
  const Micros begin = 100 * kSecond;
  CHECK(lamp.rest_ms(begin) == 0);
  CHECK(lamp.on(50, begin));
  const Micros end = begin + kMaxLit;
  lamp.off(end);
  CHECK_FALSE(lamp.on(50, end));
  const Micros rest = lamp.rest_ms(end) * kMillisecond;
  CHECK(rest > kMinute - kMaxLit - 5 * kSecond);
  CHECK(rest <= kMinute + 5 * kSecond);
  CHECK_FALSE(lamp.on(50, end + rest - 2 * kMillisecond));
  CHECK(lamp.rest_ms(end + rest - 2 * kMillisecond) == 2);
  CHECK(lamp.on(50, end + rest));
}

TEST_CASE("a lamp knows its day: what is long past is forgotten") {
  CountingLed led;
  Lamp lamp(led);
  CHECK(lamp.on(50, kSecond));
  lamp.off(kSecond + kMaxLit);
  CHECK(lamp.on(50, 24 * 60 * kMinute));
  CHECK(lamp.since() == 24 * 60 * kMinute);
}

TEST_CASE("no minute has more light than its share, whoever asks how often for how long") {
  const unsigned seed = 20261125;
  CAPTURE(seed);
  std::mt19937 random(seed);
  CountingLed led;
  Lamp lamp(led);
  std::vector<std::pair<Micros, Micros>> goes;
  Micros now = 0;
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    now += random() % (i % 3 == 0 ? 10 * kSecond : kSecond / 5);
    lamp.tick(now);
    if (!lamp.on(50, now)) {
      ++refused;
      REQUIRE(lamp.rest_ms(now) > 0);
      if (random() % 50 != 0) continue;
      now += lamp.rest_ms(now) * kMillisecond;
      REQUIRE(lamp.on(50, now));
    }
    const Micros begin = lamp.since();
    now += random() % (i % 2 == 0 ? kMaxLit : kSecond / 2);
    lamp.off(now);
    goes.emplace_back(begin, now);
  }
  CHECK(refused > 1000);
  CHECK(goes.size() > 1000);
  // The worst minutes end where a go ends.
  for (size_t last = 0; last < goes.size(); ++last) {
    const Micros from = goes[last].second - kMinute;
    Micros lit = 0;
    for (size_t i = last + 1; i-- > 0 && goes[i].second > from;) {
      lit += goes[i].second - std::max(goes[i].first, from);
    }
    REQUIRE(lit <= kMinute / kMaxLitShare);
  }
}

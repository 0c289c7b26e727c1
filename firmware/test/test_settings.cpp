#include <doctest/doctest.h>

#include <string>

#include "camcore/json.h"
#include "camcore/settings.h"
#include "fakes.h"

using namespace camcore;
using fakes::Clock;
using fakes::MapStore;

namespace {

Outcome<Settings> change(const Settings& now, const std::string& text,
                         const char* largest = "UXGA") {
  const auto parsed = parse_object(text);
  REQUIRE_MESSAGE(std::holds_alternative<Json>(parsed), text);
  return changed(now, std::get<Json>(parsed).get(), largest);
}

std::string fault(const std::string& text, const char* largest = "UXGA") {
  const auto outcome = change({}, text, largest);
  const Fault* fault = fault_of(outcome);
  return fault == nullptr ? "none" : std::string(fault->code) + ": " + fault->detail;
}

std::string access_fault(const std::string& text) {
  const auto parsed = parse_object(text);
  const auto outcome = changed(Access(), std::get<Json>(parsed).get());
  const Fault* fault = fault_of(outcome);
  return fault == nullptr ? "none" : std::string(fault->code) + ": " + fault->detail;
}

const char kEverything[] =
    R"({"framesize":"SVGA","flash":true,"vflip":true,"hmirror":true,"quality":30,"flash_level":80,)"
    R"("brightness":-2,"contrast":2,"saturation":1,"xclk_mhz":20})";

}  // namespace

TEST_CASE("every setting can be changed, stored and loaded") {
  MapStore store;
  const Settings wanted = std::get<Settings>(change({}, kEverything));
  CHECK(wanted.framesize == find_framesize("SVGA"));
  CHECK(wanted.brightness == -2);
  CHECK_FALSE(wanted == Settings());
  CHECK(load_settings(store) == Settings());  // at the first start
  CHECK(save_settings(store, wanted));
  CHECK(load_settings(store) == wanted);
  store.full = true;
  CHECK_FALSE(save_settings(store, Settings()));
}

TEST_CASE("what is written as JSON is what can be set") {
  const Settings wanted = std::get<Settings>(change({}, kEverything));
  Writer out;
  write(out, wanted);
  CHECK(out.done() == kEverything);
}

TEST_CASE("both ends of each range are in it, and the next are not") {
  struct Range {
    const char* key;
    int low, high;
  };
  for (const Range& range :
       {Range{"quality", 4, 63}, Range{"flash_level", 1, 80}, Range{"brightness", -2, 2},
        Range{"contrast", -2, 2}, Range{"saturation", -2, 2}, Range{"xclk_mhz", 6, 20}}) {
    CAPTURE(range.key);
    const auto with = [&](const std::string& value) {
      return fault("{\"" + std::string(range.key) + "\":" + value + "}");
    };
    CHECK(with(std::to_string(range.low)) == "none");
    CHECK(with(std::to_string(range.high)) == "none");
    for (const std::string& value :
         {std::to_string(range.low - 1), std::to_string(range.high + 1), std::string("4.5"),
          std::string("1e300"), std::string("-1e300"), std::string("\"10\""), std::string("true"),
          std::string("null"), std::string("[10]"), std::string("99999999999999999999")}) {
      CAPTURE(value);
      const std::string said = with(value);
      CHECK(said.find("bad_request: " + std::string(range.key) + ": expected a whole number from " +
                      std::to_string(range.low) + " to " + std::to_string(range.high)) == 0);
    }
  }
  CHECK(fault(R"({"quality":90})") ==
        "bad_request: quality: expected a whole number from 4 to 63, got 90");
}

TEST_CASE("a flag is true or false and nothing that stands for it") {
  for (const char* value : {"1", "0", "\"true\"", "null", "[]"}) {
    CHECK(fault(std::string("{\"vflip\":") + value + "}") ==
          std::string("bad_request: vflip: expected true or false, got ") + value);
  }
}

TEST_CASE("a frame size is one of this camera's, by its exact name") {
  CHECK(fault(R"({"framesize":"VGA"})", "VGA") == "none");
  CHECK(fault(R"({"framesize":"SVGA"})", "VGA") ==
        "bad_framesize: framesize: \"SVGA\" is none of QQVGA, QVGA, CIF, HVGA, VGA");
  CHECK(fault(R"({"framesize":"vga"})").find("bad_framesize") == 0);
  CHECK(fault(R"({"framesize":8})") ==
        "bad_request: framesize: expected a name such as \"SVGA\", got 8");
}

TEST_CASE("with one bad value nothing is taken over, and unknown keys don't matter") {
  const auto outcome = change({}, R"({"quality":20,"contrast":9})");
  CHECK(fault_of(outcome) != nullptr);
  CHECK(std::get<Settings>(change({}, R"({"quality":20,"aec_dsp":9})")).quality == 20);
}

TEST_CASE("a stored value that is none any more is the default again, and alone") {
  MapStore store;
  store.texts["settings"] = R"({"v":9,"quality":1,"vflip":true,"framesize":"GIGA","newer":[1]})";
  const Settings settings = load_settings(store);
  CHECK(settings.quality == Settings().quality);
  CHECK(settings.framesize == Settings().framesize);
  CHECK(settings.vflip);
  for (const char* text : {"", "garbage", "[]", "{\"quality\":", "\xff\xff"}) {
    store.texts["settings"] = text;
    CHECK(load_settings(store) == Settings());
  }
}

TEST_CASE("at its first start a board makes itself a password, and keeps it") {
  MapStore store;
  Clock machine;
  const Access first = load_access(store, machine);
  CHECK(first.password.size() == 10);
  CHECK(first.key.empty());
  CHECK(load_access(store, machine).password == first.password);
  MapStore another;
  CHECK(load_access(another, machine).password != first.password);
}

TEST_CASE("access is stored as it was set, and what is stored wrongly is made anew") {
  MapStore store;
  Clock machine;
  CHECK(save_access(store, {"sesame-sesame", "k\"ey", true}));
  const Access access = load_access(store, machine);
  CHECK(access.password == "sesame-sesame");
  CHECK(access.key == "k\"ey");
  CHECK(access.allow_legacy);
  for (const char* text : {"garbage", R"({"password":"short"})", R"({"password":7})"}) {
    store.texts["access"] = text;
    CHECK(load_access(store, machine).password.size() == 10);
  }
}

TEST_CASE("a password fits WPA2, and what is wrong with one is said without it") {
  CHECK(access_fault(R"({"password":"12345678"})") == "none");
  CHECK(access_fault("{\"password\":\"" + std::string(63, 'x') + "\"}") == "none");
  CHECK(access_fault("{\"key\":\"" + std::string(64, 'x') + "\"}") == "none");
  CHECK(access_fault(R"({"key":""})") == "none");
  for (const std::string& password :
       {std::string("1234567"), std::string(64, 'x'), std::string("p\u00e4ssw\u00f6rd"),
        std::string("tab\\tinside")}) {
    const std::string said = access_fault("{\"password\":\"" + password + "\"}");
    CHECK(said == "bad_request: password: expected 8 to 63 printable ASCII characters");
  }
  CHECK(access_fault("{\"key\":\"" + std::string(65, 'x') + "\"}") ==
        "bad_request: key: expected 0 to 64 bytes");
}

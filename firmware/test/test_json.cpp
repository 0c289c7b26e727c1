#include <doctest/doctest.h>

#include <string>

#include "camcore/json.h"

using namespace camcore;

namespace {

bool is_object(std::string_view text) { return std::holds_alternative<Json>(parse_object(text)); }

std::string fault(std::string_view text) {
  const auto parsed = parse_object(text);
  const Fault* fault = fault_of(parsed);
  REQUIRE(fault != nullptr);
  CHECK(std::string(fault->code) == error::kBadRequest);
  return fault->detail;
}

std::string nested(int depth, const std::string& begin, const std::string& end) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += begin;
  text += "1";
  for (int i = 0; i < depth; ++i) text += end;
  return text;
}

}  // namespace

TEST_CASE("an object is read, blanks and escapes and all") {
  CHECK(is_object("{}"));
  CHECK(is_object(" \r\n\t{ } \n"));
  const auto parsed = parse_object(R"({"cmd":"caf\u00e9","id":"\"\\\/"})");
  const cJSON* object = std::get<Json>(parsed).get();
  CHECK(std::string(member(object, "cmd")->valuestring) == "café");
  CHECK(std::string(member(object, "id")->valuestring) == "\"\\/");
  CHECK(member(object, "CMD") == nullptr);  // names are exact
}

TEST_CASE("what is no single object is refused in words") {
  for (const char* text : {"", " ", "1", "[]", "null", "\"{}\"", "{", "{]", "{\"a\":}", "{'a':1}",
                           "{\"a\" 1}", "{\"a\":tru}", "{\"a\":\"\\x\"}"}) {
    CAPTURE(text);
    CHECK(fault(text) == "expected one JSON object");
  }
  for (const char* text : {"{}{}", "{} x", "{},", "{}]"}) {
    CAPTURE(text);
    CHECK(fault(text) == "expected one JSON object and nothing behind it");
  }
}

TEST_CASE("a message is at most 1,024 bytes long") {
  const std::string blank(kMaxText - 2, ' ');
  CHECK(is_object("{" + blank + "}"));
  CHECK(fault("{ " + blank + "}") == "expected 1024 bytes at most");
}

TEST_CASE("eight levels are read, a ninth is not, and brackets in strings are none") {
  CHECK(is_object("{\"a\":" + nested(7, "[", "]") + "}"));
  CHECK(fault("{\"a\":" + nested(8, "[", "]") + "}") == "nested too deeply");
  CHECK(fault(nested(9, "{\"a\":", "}")) == "nested too deeply");
  CHECK(is_object(R"({"a":"[[[[[[[[[[[[{{{{{{{{{{\"[[[["})"));
}

TEST_CASE("a NUL neither cuts a string short nor ends a message") {
  CHECK(fault(R"({"key":"abc\u0000def"})") == "a string must not have a NUL character");
  CHECK(fault(std::string("{}\0", 3)) == "expected JSON, got a NUL character");
  CHECK(fault(std::string("{\"a\":\"\0\"}", 9)) == "expected JSON, got a NUL character");
  CHECK(is_object(R"({"a":"\\u0000"})"));  // a backslash, and what looks like one
}

TEST_CASE("only well-formed UTF-8 is text") {
  // The Unicode Standard, table 3-7: the ends of each range.
  for (const char* text : {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CAPTURE(text);
    CHECK(is_utf8(text));
  }
  for (const char* text :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xe0\xa0",
        "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    CAPTURE(text);
    CHECK_FALSE(is_utf8(text));
  }
  CHECK(fault("{\"a\":\"\xff\"}") == "expected UTF-8");
}

TEST_CASE("text is cut between characters and counted in them") {
  CHECK(cut("café", 10) == "café");
  CHECK(cut("café", 4) == "caf");
  CHECK(cut("€", 2).empty());
  CHECK(characters("caf\u00e9 \u20ac") == 6);
}

TEST_CASE("a value is quoted as it came, and shortened") {
  const auto parsed = parse_object(R"({"a":[1,"x"],"b":"0123456789"})");
  const cJSON* object = std::get<Json>(parsed).get();
  CHECK(quoted(member(object, "a")) == "[1,\"x\"]");
  CHECK(quoted(member(object, "b"), 4) == "\"012…");
  CHECK(quoted(nullptr) == "nothing");
  const auto long_one = parse_object("{\"a\":\"" + std::string(900, 'x') + "\"}");
  CHECK(quoted(member(std::get<Json>(long_one).get(), "a")) == "a long text");
}

TEST_CASE("what is written can be read again, whatever is in it") {
  std::string all;
  for (int c = 1; c < 128; ++c) all += static_cast<char>(c);
  const std::string text = Writer("t")
                               .add("text", all)
                               .add("yes", true)
                               .add("no", false)
                               .add("big", int64_t{1} << 40)
                               .add("list", std::vector<const char*>{"a", "b\""})
                               .add_id(std::nullopt)
                               .add_id("i\"d")
                               .done();
  const auto parsed = parse_object(text);
  REQUIRE_MESSAGE(std::holds_alternative<Json>(parsed), text);
  const cJSON* object = std::get<Json>(parsed).get();
  CHECK(std::string(member(object, "text")->valuestring) == all);
  CHECK(std::string(member(object, "id")->valuestring) == "i\"d");
  CHECK(member(object, "big")->valuedouble == 1099511627776.0);
  CHECK(quoted(member(object, "list")) == R"(["a","b\""])");
  CHECK(quoted(member(object, "yes")) == "true");
  CHECK(Writer().done() == "{}");
}

#include "camcore/settings.h"

#include <cstring>
#include <vector>

#include "camcore/json.h"

namespace camcore {
namespace {

constexpr const char* kSettingsKey = "settings";
constexpr const char* kAccessKey = "access";
constexpr int kVersion = 1;

struct Flag {
  const char* key;
  bool Settings::*value;
};

struct Number {
  const char* key;
  int Settings::*value;
  int low;
  int high;
};

constexpr Flag kFlags[] = {
    {"flash", &Settings::flash},
    {"vflip", &Settings::vflip},
    {"hmirror", &Settings::hmirror},
};

constexpr Number kNumbers[] = {
    {"quality", &Settings::quality, kMinQuality, kMaxQuality},
    {"flash_level", &Settings::flash_level, 1, kMaxFlashLevel},
    {"brightness", &Settings::brightness, -2, 2},
    {"contrast", &Settings::contrast, -2, 2},
    {"saturation", &Settings::saturation, -2, 2},
    {"xclk_mhz", &Settings::xclk_mhz, 6, 20},
};

Fault expected(const char* key, const std::string& what, const cJSON* got) {
  return {error::kBadRequest, std::string(key) + ": expected " + what + ", got " + quoted(got), -1};
}

std::string read_text(Store& store, const char* key) {
  std::string text;
  return store.load(key, text) ? text : std::string();
}

}  // namespace

std::optional<Fault> read_flag(const cJSON* object, const char* key, bool& value) {
  const cJSON* got = member(object, key);
  if (got == nullptr) return {};
  if (!cJSON_IsBool(got)) return expected(key, "true or false", got);
  value = cJSON_IsTrue(got);
  return {};
}

std::optional<Fault> read_number(const cJSON* object, const char* key, int low, int high,
                                 int& value) {
  const cJSON* got = member(object, key);
  if (got == nullptr) return {};
  // Not valueint: it saturates, and 4.5 would pass for 4.
  if (!cJSON_IsNumber(got) || !(got->valuedouble >= low && got->valuedouble <= high) ||
      got->valuedouble != static_cast<int>(got->valuedouble)) {
    return expected(
        key, "a whole number from " + std::to_string(low) + " to " + std::to_string(high), got);
  }
  value = static_cast<int>(got->valuedouble);
  return {};
}

std::optional<Fault> read_framesize(const cJSON* object, std::string_view largest,
                                    const FrameSize*& value) {
  const cJSON* got = member(object, "framesize");
  if (got == nullptr) return {};
  if (!cJSON_IsString(got)) return expected("framesize", "a name such as \"SVGA\"", got);
  std::string known;
  for (const FrameSize* size : framesizes_up_to(largest)) {
    if (strcmp(got->valuestring, size->name) == 0) {
      value = size;
      return {};
    }
    known += known.empty() ? "" : ", ";
    known += size->name;
  }
  return Fault{error::kBadFramesize, "framesize: " + quoted(got, 20) + " is none of " + known, -1};
}

bool operator==(const Settings& a, const Settings& b) {
  for (const Flag& flag : kFlags) {
    if (a.*flag.value != b.*flag.value) return false;
  }
  for (const Number& number : kNumbers) {
    if (a.*number.value != b.*number.value) return false;
  }
  return a.framesize == b.framesize;
}

Outcome<Settings> changed(const Settings& now, const cJSON* object, std::string_view largest) {
  Settings wanted = now;
  if (auto fault = read_framesize(object, largest, wanted.framesize)) return *fault;
  for (const Flag& flag : kFlags) {
    if (auto fault = read_flag(object, flag.key, wanted.*flag.value)) return *fault;
  }
  for (const Number& number : kNumbers) {
    if (auto fault =
            read_number(object, number.key, number.low, number.high, wanted.*number.value)) {
      return *fault;
    }
  }
  return wanted;
}

void write(Writer& out, const Settings& settings) {
  out.add("framesize", settings.framesize->name);
  for (const Flag& flag : kFlags) out.add(flag.key, settings.*flag.value);
  for (const Number& number : kNumbers) out.add(number.key, settings.*number.value);
}

Settings load_settings(Store& store) {
  Settings settings;
  const std::string text = read_text(store, kSettingsKey);
  const auto stored = parse_object(text);
  const Json* json = std::get_if<Json>(&stored);
  if (json == nullptr) return settings;
  const FrameSize* largest = &kFrameSizes[sizeof kFrameSizes / sizeof *kFrameSizes - 1];
  // One by one, so that one bad value does not take the others along.
  read_framesize(json->get(), largest->name, settings.framesize);
  for (const Flag& flag : kFlags) read_flag(json->get(), flag.key, settings.*flag.value);
  for (const Number& number : kNumbers) {
    read_number(json->get(), number.key, number.low, number.high, settings.*number.value);
  }
  return settings;
}

bool save_settings(Store& store, const Settings& settings) {
  Writer out;
  out.add("v", kVersion);
  write(out, settings);
  return store.save(kSettingsKey, out.done());
}

namespace {

std::string make_password(Machine& machine) {
  // None that are easily taken for another. 32 of them: five bits each, 50 in all.
  static constexpr char kLetters[] = "abcdefghijkmnpqrstuvwxyz23456789";
  uint8_t bytes[10];
  machine.random(bytes, sizeof bytes);
  std::string password;
  for (const uint8_t byte : bytes) password += kLetters[byte % 32];
  return password;
}

std::optional<Fault> read_text(const cJSON* object, const char* key, size_t low, size_t high,
                               bool printable, std::string& value) {
  const cJSON* got = member(object, key);
  if (got == nullptr) return {};
  const char* text = cJSON_IsString(got) ? got->valuestring : nullptr;
  bool good = text != nullptr && strlen(text) >= low && strlen(text) <= high;
  for (const char* c = text; good && printable && *c != '\0'; ++c) good = *c >= ' ' && *c <= '~';
  if (!good) {  // and never say what came: it may be somebody's password, mistyped
    return Fault{error::kBadRequest,
                 std::string(key) + ": expected " + std::to_string(low) + " to " +
                     std::to_string(high) + (printable ? " printable ASCII characters" : " bytes"),
                 -1};
  }
  value = text;
  return {};
}

}  // namespace

Outcome<Access> changed(const Access& now, const cJSON* object) {
  Access wanted = now;
  if (auto fault = read_text(object, "password", 8, 63, true, wanted.password)) return *fault;
  if (auto fault = read_text(object, "key", 0, 64, false, wanted.key)) return *fault;
  if (auto fault = read_flag(object, "allow_legacy", wanted.allow_legacy)) return *fault;
  return wanted;
}

Access load_access(Store& store, Machine& machine) {
  Access access;
  const std::string text = read_text(store, kAccessKey);
  const auto stored = parse_object(text);
  if (const Json* json = std::get_if<Json>(&stored)) {
    const auto known = changed(access, json->get());
    if (const Access* all = std::get_if<Access>(&known)) access = *all;
  }
  if (access.password.empty()) {
    access.password = make_password(machine);
    save_access(store, access);
  }
  return access;
}

bool save_access(Store& store, const Access& access) {
  Writer out;
  out.add("v", kVersion).add("password", access.password).add("key", access.key);
  out.add("allow_legacy", access.allow_legacy);
  return store.save(kAccessKey, out.done());
}

}  // namespace camcore

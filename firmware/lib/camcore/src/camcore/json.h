// JSON in and out. cJSON parses; it is kept from what would hurt a board with an 8 KiB stack.
#pragma once

#include <cJSON.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "camcore/fault.h"

namespace camcore {

constexpr size_t kMaxText = 1024;  // bytes of a message, the protocol's limit
constexpr int kMaxDepth = 8;       // cJSON recurses: 1,000 brackets would end the stack

struct CJsonDelete {
  void operator()(cJSON* item) const { cJSON_Delete(item); }
};
using Json = std::unique_ptr<cJSON, CJsonDelete>;

// One JSON object. bad_request: too long, not UTF-8, too deep, no JSON, something behind it, a NUL
// character in a string (cJSON would cut it there), or not an object.
Outcome<Json> parse_object(std::string_view text, size_t max_size = kMaxText);

// Members by exact name; nullptr if there is none.
const cJSON* member(const cJSON* object, const char* key);

bool is_utf8(std::string_view text);

// How many characters UTF-8 text has.
size_t characters(std::string_view text);

// Cut to `max` bytes at most, between characters.
std::string_view cut(std::string_view text, size_t max);

// A value as it came, shortened for an error message: `"HUGE"`, `[1,2,…`.
std::string quoted(const cJSON* value, size_t max = 40);

// Writes one object, member by member. Strings are escaped and must be UTF-8.
class Writer {
 public:
  explicit Writer(std::string_view type = {});  // as `{"type":"…"` unless empty
  Writer& add(const char* key, std::string_view value);
  Writer& add(const char* key, const char* value) { return add(key, std::string_view(value)); }
  Writer& add(const char* key, const std::string& value) {
    return add(key, std::string_view(value));
  }
  Writer& add(const char* key, bool value);
  Writer& add(const char* key, int64_t value);
  Writer& add(const char* key, int value) { return add(key, static_cast<int64_t>(value)); }
  Writer& add(const char* key, uint32_t value) { return add(key, static_cast<int64_t>(value)); }
  Writer& add(const char* key, const std::vector<const char*>& values);
  // Nothing if there is no id.
  Writer& add_id(const std::optional<std::string>& id);
  std::string done();

 private:
  void begin(const char* key);
  void append_string(std::string_view value);
  std::string text_ = "{";
};

}  // namespace camcore

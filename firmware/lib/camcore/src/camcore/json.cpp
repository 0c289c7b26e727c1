#include "camcore/json.h"

#include <cstdio>
#include <cstring>

namespace camcore {
namespace {

Fault bad(const char* detail) { return {error::kBadRequest, detail, -1}; }

// Deeper than kMaxDepth, or a NUL character in a string. Only what is inside of strings can look
// like a bracket and be none.
const char* dangerous(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\0') return "expected JSON, got a NUL character";
    if (in_string) {
      if (c == '\\') {
        if (text.substr(i, 6) == "\\u0000") return "a string must not have a NUL character";
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return "nested too deeply";
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return nullptr;
}

}  // namespace

Outcome<Json> parse_object(std::string_view text, size_t max_size) {
  if (text.size() > max_size) {
    return bad(("expected " + std::to_string(max_size) + " bytes at most").c_str());
  }
  if (!is_utf8(text)) return bad("expected UTF-8");
  if (const char* why = dangerous(text)) return bad(why);
  const char* end = nullptr;
  Json json(cJSON_ParseWithLengthOpts(text.data(), text.size(), &end, false));
  if (!json || !cJSON_IsObject(json.get())) return bad("expected one JSON object");
  const auto rest = text.substr(static_cast<size_t>(end - text.data()));
  if (rest.find_first_not_of(" \t\r\n") != std::string_view::npos) {
    return bad("expected one JSON object and nothing behind it");
  }
  return json;
}

const cJSON* member(const cJSON* object, const char* key) {
  return cJSON_GetObjectItemCaseSensitive(object, key);
}

// The ranges are those of the Unicode Standard's table 3-7, well-formed UTF-8.
bool is_utf8(std::string_view text) {
  const auto* at = reinterpret_cast<const uint8_t*>(text.data());
  const uint8_t* const end = at + text.size();
  while (at < end) {
    const uint8_t first = *at++;
    if (first < 0x80) continue;
    int more = 0;
    uint8_t low = 0x80, high = 0xBF;
    if (first >= 0xC2 && first <= 0xDF) {
      more = 1;
    } else if (first >= 0xE0 && first <= 0xEF) {
      more = 2;
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;  // no surrogates
    } else if (first >= 0xF0 && first <= 0xF4) {
      more = 3;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    } else {
      return false;
    }
    for (; more > 0; --more, low = 0x80, high = 0xBF) {
      if (at == end || *at < low || *at > high) return false;
      ++at;
    }
  }
  return true;
}

size_t characters(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (c & 0xC0) != 0x80;
  return count;
}

std::string_view cut(std::string_view text, size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (text[max] & 0xC0) == 0x80) --max;
  return text.substr(0, max);
}

std::string quoted(const cJSON* value, size_t max) {
  if (value == nullptr) return "nothing";
  char text[512];  // more is not shown anyway; what does not fit is said in a word
  if (!cJSON_PrintPreallocated(const_cast<cJSON*>(value), text, sizeof text, false)) {
    return cJSON_IsString(value) ? "a long text" : "something long";
  }
  const std::string_view all(text);
  const std::string_view head = cut(all, max);
  return std::string(head) + (head.size() < all.size() ? "…" : "");
}

Writer::Writer(std::string_view type) {
  if (!type.empty()) add("type", type);
}

void Writer::begin(const char* key) {
  if (text_.size() > 1) text_ += ',';
  text_ += '"';
  text_ += key;
  text_ += "\":";
}

void Writer::append_string(std::string_view value) {
  text_ += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += c;
    } else if (static_cast<uint8_t>(c) < 0x20) {
      char escaped[7];
      snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      text_ += escaped;
    } else {
      text_ += c;
    }
  }
  text_ += '"';
}

Writer& Writer::add(const char* key, std::string_view value) {
  begin(key);
  append_string(value);
  return *this;
}

Writer& Writer::add(const char* key, bool value) {
  begin(key);
  text_ += value ? "true" : "false";
  return *this;
}

Writer& Writer::add(const char* key, int64_t value) {
  begin(key);
  text_ += std::to_string(value);
  return *this;
}

Writer& Writer::add(const char* key, const std::vector<const char*>& values) {
  begin(key);
  text_ += '[';
  for (const char* value : values) {
    if (text_.back() != '[') text_ += ',';
    append_string(value);
  }
  text_ += ']';
  return *this;
}

Writer& Writer::add_id(const std::optional<std::string>& id) { return id ? add("id", *id) : *this; }

std::string Writer::done() {
  text_ += '}';
  return std::move(text_);
}

}  // namespace camcore

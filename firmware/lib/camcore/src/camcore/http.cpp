#include "camcore/http.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "camcore/json.h"
#include "camcore/page_html.h"

namespace camcore {
namespace {

constexpr size_t kMaxDetail = 200;    // bytes, as on the wire
constexpr char kImageMagic = '\xe9';  // the first byte of every ESP32 application image

HttpResponse answer(int status, std::string json) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(json);
  return response;
}

HttpResponse refusal(int status, const char* code, std::string_view detail) {
  return answer(status, Writer().add("error", code).add("detail", cut(detail, kMaxDetail)).done());
}

int status_of(std::string_view code) {
  if (code == error::kUnauthorized) return 401;
  if (code == error::kUnknownCommand) return 404;
  if (code == error::kCameraFailed || code == error::kNoFreshFrame) return 502;
  if (code == error::kBusy || code == error::kLowMemory) return 503;
  return 400;
}

HttpResponse refusal(const Fault& fault) {
  Writer out;
  out.add("error", fault.code).add("detail", cut(fault.detail, kMaxDetail));
  if (fault.retry_after_ms >= 0) out.add("retry_after_ms", fault.retry_after_ms);
  HttpResponse response = answer(status_of(fault.code), out.done());
  if (response.status == 503)
    response.retry_after = std::max(1, (fault.retry_after_ms + 999) / 1000);
  return response;
}

bool all_of(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}

constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

bool is_ipv4(std::string_view name) {
  int parts = 1;
  size_t digits = 0;
  int value = 0;
  for (const char c : name) {
    if (c == '.') {
      if (digits == 0) return false;
      ++parts;
      digits = 0;
      value = 0;
    } else {
      if (c < '0' || c > '9') return false;
      value = value * 10 + (c - '0');
      if (++digits > 3 || value > 255) return false;
    }
  }
  return parts == 4 && digits > 0;
}

bool ends_in_local(std::string_view name) {
  constexpr std::string_view kLocal = ".local";
  if (name.size() <= kLocal.size()) return false;
  return std::equal(kLocal.begin(), kLocal.end(), name.end() - kLocal.size(),
                    [](char a, char b) { return a == (b | 0x20); });
}

// Whether a Host header is one that a page from elsewhere can't have. With a name of its own that
// it lets point to the board (DNS rebinding), a browser would take it for the board's.
bool is_ours(std::string_view host) {
  const size_t name_ends =
      !host.empty() && host[0] == '[' ? std::min(host.find(']') + 1, host.size()) : host.find(':');
  const std::string_view name = host.substr(0, name_ends);
  const std::string_view port = host.substr(name.size());
  if (!port.empty() && (port[0] != ':' || !all_of(port.substr(1), kDigits))) return false;
  if (name.size() > 2 && name[0] == '[') {
    return all_of(name.substr(1, name.size() - 2), "0123456789abcdefABCDEF:.");
  }
  if (name.empty() || !all_of(name, kNameCharacters)) return false;
  return name.find('.') == std::string_view::npos || is_ipv4(name) || ends_in_local(name);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Of a query: plus signs, and percent signs with two digits behind them. A NUL stays as it was
// written, or it would cut the text short.
std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high >= 0 && low >= 0 && high + low > 0) {
        out += static_cast<char>(high << 4 | low);
        i += 2;
        continue;
      }
    }
    out += text[i] == '+' ? ' ' : text[i];
  }
  return out;
}

bool is_number(std::string_view text) {
  const std::string_view digits = text.substr(!text.empty() && text[0] == '-');
  return !digits.empty() && digits.size() <= 9 && all_of(digits, kDigits);
}

// The options of a capture, as they would stand in its command: what is no number stays a text, so
// that whoever checks them says what it should have been.
Outcome<Json> parse_query(std::string_view query) {
  Json object(cJSON_CreateObject());
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string key = decoded(pair.substr(0, equals));
    const std::string value = decoded(pair.substr(std::min(equals + 1, pair.size())));
    if (!is_utf8(value)) return Fault{error::kBadRequest, "the query: expected UTF-8", -1};
    if (value == "true" || value == "false" || (key == "flash" && (value == "1" || value == "0"))) {
      cJSON_AddBoolToObject(object.get(), key.c_str(), value == "true" || value == "1");
    } else if (is_number(value)) {
      cJSON_AddNumberToObject(object.get(), key.c_str(), atoi(value.c_str()));
    } else {
      cJSON_AddStringToObject(object.get(), key.c_str(), value.c_str());
    }
  }
  return object;
}

std::string settings_json(const Settings& settings) {
  Writer out;
  write(out, settings);
  return out.done();
}

const char* name_of(WifiSupervisor::State state) {
  switch (state) {
    case WifiSupervisor::State::kUnconfigured:
      return "unconfigured";
    case WifiSupervisor::State::kConnecting:
      return "connecting";
    case WifiSupervisor::State::kOnline:
      return "online";
  }
  return "";
}

const char* name_of(WifiSupervisor::Trial trial) {
  switch (trial) {
    case WifiSupervisor::Trial::kNone:
      return "none";
    case WifiSupervisor::Trial::kUnderWay:
      return "under_way";
    case WifiSupervisor::Trial::kWorked:
      return "worked";
    case WifiSupervisor::Trial::kFailed:
      return "failed";
  }
  return "";
}

}  // namespace

enum class Needs { kNothing, kPasswordIfKey, kPassword };

struct Page::Route {
  const char* method;
  const char* path;
  Needs needs;
  HttpResponse (Page::*answer)(const HttpRequest&);  // nullptr: a capture, answered later
};

const Page::Route Page::kRoutes[] = {
    {"GET", "/", Needs::kNothing, &Page::page},
    {"GET", "/status", Needs::kPasswordIfKey, &Page::status},
    {"GET", "/capture", Needs::kPasswordIfKey, nullptr},
    {"GET", "/settings", Needs::kPasswordIfKey, &Page::settings},
    {"POST", "/settings", Needs::kPassword, &Page::change_settings},
    {"POST", "/wifi", Needs::kPassword, &Page::change_wifi},
    {"POST", "/access", Needs::kPassword, &Page::change_access},
    {"POST", "/restart", Needs::kPassword, &Page::restart},
    {"POST", "/update", Needs::kPassword, &Page::update},
};

void Page::handle(const HttpRequest& request, Reply reply) {
  const Route* route = nullptr;
  if (auto refused = refuse(request, route)) return reply(std::move(*refused));
  if (route->answer == nullptr) return capture(request, std::move(reply));
  reply((this->*route->answer)(request));
}

std::optional<HttpResponse> Page::refuse(const HttpRequest& request, const Route*& route) {
  if (!is_ours(request.host)) {
    return refusal(403, error::kBadRequest,
                   "the Host header: expected an address, a name without dots, or one that ends "
                   "in .local");
  }
  std::string allowed;
  for (const Route& known : kRoutes) {
    if (request.path != known.path) continue;
    if (request.method == known.method) route = &known;
    allowed += (allowed.empty() ? "" : ", ") + std::string(known.method);
  }
  if (allowed.empty()) return refusal(404, error::kUnknownCommand, "there is no such page here");
  if (route == nullptr) {
    HttpResponse response = refusal(405, error::kUnknownCommand, "expected " + allowed);
    response.allow = std::move(allowed);
    return response;
  }
  if (request.body.size() > kMaxBody) {
    return refusal(413, error::kBadRequest,
                   "the body: expected " + std::to_string(kMaxBody) + " bytes at most");
  }
  const bool has_key = !board_.access().key.empty();
  if (route->needs == Needs::kPassword || (route->needs == Needs::kPasswordIfKey && has_key)) {
    return ask_password(request.password);
  }
  return {};
}

std::optional<HttpResponse> Page::ask_password(const std::string& shown) {
  if (shown.empty()) {  // no try at it, or the page would lock its owner out by being opened
    return refusal(401, error::kUnauthorized, "expected the board's password as X-Password");
  }
  switch (guard_.check(shown, board_.access().password, machine_.now())) {
    case PasswordGuard::Answer::kRight:
      return {};
    case PasswordGuard::Answer::kWrong:
      return refusal(401, error::kUnauthorized, "that is not the board's password");
    case PasswordGuard::Answer::kWait:
      break;
  }
  HttpResponse response =
      refusal(429, error::kUnauthorized, "too many wrong passwords: wait a minute");
  response.retry_after = kToWaitForPassword;
  return response;
}

HttpResponse Page::page(const HttpRequest&) {
  HttpResponse response;
  response.type = "text/html; charset=utf-8";
  response.body = kPageHtml;
  return response;
}

HttpResponse Page::status(const HttpRequest&) {
  const auto& credentials = wifi_.credentials();
  Writer more;
  more.add("allow_legacy", board_.access().allow_legacy);
  more.add("wifi", name_of(wifi_.state())).add("ssid", credentials ? credentials->ssid : "");
  more.add("wifi_trial", name_of(wifi_.trial())).add("access_point", wifi_.ap());
  std::string text = board_.status_json();
  text.back() = ',';
  return answer(200, text + more.done().substr(1));
}

HttpResponse Page::settings(const HttpRequest&) {
  return answer(200, settings_json(board_.settings()));
}

HttpResponse Page::change_settings(const HttpRequest& request) {
  const auto body = parse_object(request.body, kMaxBody);
  if (const Fault* fault = fault_of(body)) return refusal(*fault);
  const auto settings = board_.change(std::get<Json>(body).get(), true);
  if (const Fault* fault = fault_of(settings)) return refusal(*fault);
  return answer(200, settings_json(std::get<Settings>(settings)));
}

HttpResponse Page::change_wifi(const HttpRequest& request) {
  const auto body = parse_object(request.body, kMaxBody);
  if (const Fault* fault = fault_of(body)) return refusal(*fault);
  Credentials credentials;
  for (const auto& [key, value] :
       {std::pair("ssid", &credentials.ssid), std::pair("password", &credentials.password)}) {
    const cJSON* got = member(std::get<Json>(body).get(), key);
    if (got == nullptr) continue;
    if (!cJSON_IsString(got)) {
      return refusal(400, error::kBadRequest, std::string(key) + ": expected a text");
    }
    *value = got->valuestring;
  }
  if (const auto fault = check(credentials)) return refusal(*fault);
  wifi_.try_out(credentials, machine_.now());
  return answer(202, Writer().add("wifi_trial", name_of(wifi_.trial())).done());
}

HttpResponse Page::change_access(const HttpRequest& request) {
  const auto body = parse_object(request.body, kMaxBody);
  if (const Fault* fault = fault_of(body)) return refusal(*fault);
  const auto wanted = changed(board_.access(), std::get<Json>(body).get());
  if (const Fault* fault = fault_of(wanted)) return refusal(*fault);
  const Access& access = std::get<Access>(wanted);
  if (!board_.change_access(access)) {
    return refusal({error::kLowMemory, "that could not be stored, and is not in force", 1000});
  }
  return answer(200, Writer()
                         .add("auth", access.key.empty() ? "none" : "hmac")
                         .add("allow_legacy", access.allow_legacy)
                         .done());
}

HttpResponse Page::restart(const HttpRequest&) {
  board_.restart_soon();
  return answer(202, Writer().add("detail", "the board restarts").done());
}

// Never by an adapter that does as http.h says.
HttpResponse Page::update(const HttpRequest&) {
  return refusal(400, error::kBadRequest, "a firmware image is streamed, and never a body");
}

void Page::capture(const HttpRequest& request, Reply reply) {
  const auto options = parse_query(request.query);
  if (const Fault* fault = fault_of(options)) return reply(refusal(*fault));
  const auto shot = parse_shot(std::get<Json>(options).get(), board_.largest());
  if (const Fault* fault = fault_of(shot)) return reply(refusal(*fault));
  board_.capture(std::get<Shot>(shot), [reply = std::move(reply)](Outcome<Picture> taken) {
    if (const Fault* fault = fault_of(taken)) return reply(refusal(*fault));
    HttpResponse response;
    response.type = "image/jpeg";
    response.picture = std::move(std::get<Picture>(taken));
    reply(std::move(response));
  });
}

std::optional<HttpResponse> Page::begin_update(const HttpRequest& request, size_t size,
                                               std::string_view first_bytes) {
  const Route* route = nullptr;
  if (auto refused = refuse(request, route)) return refused;
  if (updating_) return refusal({error::kBusy, "an update is under way", 5000});
  if (size > kMaxFirmware) {
    return refusal(413, error::kBadRequest,
                   "a firmware image: expected " + std::to_string(kMaxFirmware) + " bytes at most");
  }
  if (size < kMinFirmware || first_bytes.empty() || first_bytes[0] != kImageMagic) {
    return refusal(400, error::kBadRequest,
                   "that is no firmware image: expected " + std::to_string(kMinFirmware) +
                       " bytes at least, of which the first is 0xE9");
  }
  updating_ = true;
  board_.stop_camera();
  return {};
}

HttpResponse Page::end_update(const std::string& fault) {
  board_.restart_soon();  // a camera that was given up comes back by that as well
  if (!fault.empty()) {
    return refusal(400, error::kBadRequest,
                   "no update: " + fault + "; the board restarts with the firmware it has");
  }
  return answer(200, Writer().add("detail", "the board restarts with its new firmware").done());
}

}  // namespace camcore

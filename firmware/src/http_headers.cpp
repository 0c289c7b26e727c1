#include <esp_timer.h>

#include "http_server.h"

namespace {

// Nothing of a board is to be kept by a browser, framed by another page, or loaded from elsewhere:
// its page is one file with its script and style in it.
constexpr std::pair<const char*, const char*> kAlways[] = {
    {"Cache-Control", "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
     "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
     "frame-ancestors 'none'"},
};

constexpr std::pair<int, const char*> kReasons[] = {
    {200, "OK"},
    {202, "Accepted"},
    {204, "No Content"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

}  // namespace

std::vector<std::pair<const char*, std::string>> http_headers(
    const camcore::HttpResponse& response) {
  std::vector<std::pair<const char*, std::string>> headers(std::begin(kAlways), std::end(kAlways));
  if (response.retry_after > 0) {
    headers.emplace_back("Retry-After", std::to_string(response.retry_after));
  }
  if (!response.allow.empty()) headers.emplace_back("Allow", response.allow);
  const camcore::Picture& picture = response.picture;
  if (picture.frame) {
    const camcore::Micros age = esp_timer_get_time() - picture.exposed;
    headers.emplace_back("X-Age-Ms", std::to_string(age / camcore::kMillisecond));
    headers.emplace_back("X-Dropped", std::to_string(picture.dropped));
    headers.emplace_back("X-Flash", picture.flash ? "true" : "false");
  }
  return headers;
}

const char* http_reason(int status) {
  for (const auto& known : kReasons) {
    if (known.first == status) return known.second;
  }
  return status < 500 ? "Bad Request" : "Internal Server Error";
}

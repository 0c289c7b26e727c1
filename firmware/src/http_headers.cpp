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

}  // namespace

std::vector<std::pair<const char*, std::string>> http_headers(
    const camcore::HttpResponse& response) {
  std::vector<std::pair<const char*, std::string>> headers(std::begin(kAlways), std::end(kAlways));
  if (response.retry_after > 0) {
    headers.emplace_back("Retry-After", std::to_string(response.retry_after));
  }
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
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return status < 500 ? "Bad Request" : "Internal Server Error";
  }
}

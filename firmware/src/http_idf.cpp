// The HTTP server on a board: ESP-IDF's own, with a task of its own.
#include <esp_http_server.h>

#include <algorithm>
#include <cstring>

#include "http_server.h"

namespace {

constexpr int kSecondsPerRead = 5;
constexpr size_t kStack = 8192;
constexpr int kConnections = 2;  // of lwIP's 16 sockets; the longest silent gives way
constexpr size_t kLongestHeader = 128;
constexpr size_t kToDiscard = 64 * 1024;

std::string header(httpd_req_t* request, const char* name) {
  char value[kLongestHeader + 1] = "";
  httpd_req_get_hdr_value_str(request, name, value, sizeof value);  // cut short if longer
  return value;
}

camcore::HttpRequest request_of(httpd_req_t* request) {
  camcore::HttpRequest ours;
  ours.method = request->method == HTTP_GET ? "GET" : "POST";
  const std::string uri = request->uri;
  const size_t question = uri.find('?');
  ours.path = uri.substr(0, question);
  if (question != std::string::npos) ours.query = uri.substr(question + 1);
  ours.host = header(request, "Host");
  ours.password = header(request, "X-Password");
  return ours;
}

// Up to `size` bytes of the body, as they come.
size_t read(httpd_req_t* request, uint8_t* out, size_t size) {
  const int got = httpd_req_recv(request, reinterpret_cast<char*>(out), size);
  return got > 0 ? static_cast<size_t>(got) : 0;
}

std::string read_all(httpd_req_t* request, size_t size) {
  std::string body(size, '\0');
  size_t have = 0;
  while (have < size) {
    const size_t got = read(request, reinterpret_cast<uint8_t*>(&body[have]), size - have);
    if (got == 0) break;
    have += got;
  }
  body.resize(have);
  return body;
}

esp_err_t send(httpd_req_t* request, const camcore::HttpResponse& response) {
  // The server keeps pointers to these until it sends.
  const std::string status = std::to_string(response.status) + " " + http_reason(response.status);
  const auto headers = http_headers(response);
  httpd_resp_set_status(request, status.c_str());
  httpd_resp_set_type(request, response.type.c_str());
  for (const auto& [name, value] : headers) httpd_resp_set_hdr(request, name, value.c_str());
  const camcore::Frame& frame = response.picture.frame;
  return frame ? httpd_resp_send(request, reinterpret_cast<const char*>(frame.data()), frame.size())
               : httpd_resp_send(request, response.body.data(), response.body.size());
}

// What was sent of a body that nobody wants; closed with it unread, the connection would end in a
// reset that may overtake the answer. ESP_FAIL: close it.
esp_err_t discard(httpd_req_t* request) {
  uint8_t bytes[512];
  for (size_t seen = 0; seen < kToDiscard;) {
    const size_t got = read(request, bytes, sizeof bytes);
    if (got == 0) break;
    seen += got;
  }
  return ESP_FAIL;
}

esp_err_t serve(httpd_req_t* request) {
  HttpHandler& handler = *static_cast<HttpHandler*>(request->user_ctx);
  camcore::HttpRequest ours = request_of(request);
  size_t left = request->content_len;
  esp_err_t sent;
  if (request->method == HTTP_POST && ours.path == kUpdatePath) {
    const auto body = [&](uint8_t* out, size_t size) {
      const size_t got = read(request, out, std::min(size, left));
      left -= got;
      return got;
    };
    sent = send(request, handler.update(ours, left, body));
  } else {
    ours.body = read_all(request, std::min(left, camcore::kMaxBody + 1));
    left -= ours.body.size();
    sent = send(request, handler.answer(ours));
  }
  return sent == ESP_OK && left > 0 ? discard(request) : sent;
}

}  // namespace

bool start_http_server(HttpHandler& handler, uint16_t port) {
  httpd_config_t config = HTTPD_DEFAULT_CONFIG();
  config.server_port = port;
  config.stack_size = kStack;
  config.max_open_sockets = kConnections;
  config.lru_purge_enable = true;
  config.recv_wait_timeout = kSecondsPerRead;
  config.send_wait_timeout = kSecondsPerRead;
  config.uri_match_fn = httpd_uri_match_wildcard;
  httpd_handle_t server = nullptr;
  if (httpd_start(&server, &config) != ESP_OK) return false;
  bool ready = true;
  for (const httpd_method_t method : {HTTP_GET, HTTP_POST}) {  // it answers 405 to the others
    httpd_uri_t everything = {};
    everything.uri = "/*";
    everything.method = method;
    everything.handler = serve;
    everything.user_ctx = &handler;
    ready &= httpd_register_uri_handler(server, &everything) == ESP_OK;
  }
  return ready;
}

// The HTTP server: sockets and bytes, in a task of its own. http_idf.cpp has it on a board, sim/src
// on a PC. What a request means is for the handler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "camcore/http.h"

// The one path whose body is streamed and not read into the request.
constexpr const char* kUpdatePath = "/update";

// The server calls it from its own task, for one request at a time.
class HttpHandler {
 public:
  // Of a body as it arrives: up to `size` bytes into `out`, how many there were; 0 at its end, or
  // when the client is gone or has kept us waiting for 5 seconds.
  using Body = std::function<size_t(uint8_t* out, size_t size)>;

  virtual ~HttpHandler() = default;

  // A request with all of its body. The server reads no more than camcore::kMaxBody + 1 bytes of
  // one (the page refuses those), and closes the connection if there were more.
  virtual camcore::HttpResponse answer(const camcore::HttpRequest& request) = 0;

  // POST kUpdatePath, with `size` bytes of body to come. If not all of it was read, the server
  // closes the connection after the answer.
  virtual camcore::HttpResponse update(const camcore::HttpRequest& request, size_t size,
                                       const Body& body) = 0;
};

// Listen, until the end of the program. False: no memory, or the port is taken.
bool start_http_server(HttpHandler& handler, uint16_t port);

// The headers of an answer, all but Content-Type, Content-Length and Connection.
std::vector<std::pair<const char*, std::string>> http_headers(
    const camcore::HttpResponse& response);

// "Not Found" for 404.
const char* http_reason(int status);

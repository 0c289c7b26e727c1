// The page on port 80: a request in, what to do or the answer out. No sockets; the shell has two
// thin adapters, esp_http_server on a board and POSIX on a PC, both in a task of their own.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "camcore/auth.h"
#include "camcore/board.h"
#include "camcore/wifi.h"

namespace camcore {

constexpr size_t kMaxBody =
    1024;  // bytes of a request's body; a firmware image is streamed instead
constexpr size_t kMinFirmware = 64 * 1024;  // the bootloader of a board is a third of it
constexpr size_t kMaxFirmware =
    3 * 1024 * 1024;  // more than ours will ever be; what fits into its partition the shell knows
constexpr int kToWaitForPassword = 60;  // seconds, as PasswordGuard has it

struct HttpRequest {
  std::string method;    // "GET"
  std::string path;      // "/capture", without the query
  std::string query;     // "framesize=VGA&flash=1", still encoded
  std::string host;      // the Host header
  std::string password;  // the X-Password header, which no other site's page can send
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string type = "application/json";
  std::string body;
  Picture picture;      // instead of the body, if there is a frame in it
  int retry_after = 0;  // seconds; 0: no such header
  std::string allow{};  // of a 405: the methods that there are; else empty
};

// Answers requests on behalf of the board. All of it runs in the board's loop; the adapters hand
// requests over and wait.
class Page {
 public:
  Page(Board& board, WifiSupervisor& wifi, Machine& machine)
      : board_(board), wifi_(wifi), machine_(machine) {}

  using Reply = std::function<void(HttpResponse)>;
  // `reply` is called once, at once or from a later `Board::loop()`.
  void handle(const HttpRequest& request, Reply reply);

  // Whether an update may begin: method, host, password, size, and the image's first bytes (0xE9).
  // Stops the camera if so. Nothing: go on; else the answer.
  std::optional<HttpResponse> begin_update(const HttpRequest& request, size_t size,
                                           std::string_view first_bytes);
  // How it ended: `fault` empty if well, and then the board restarts.
  HttpResponse end_update(const std::string& fault);

 private:
  struct Route;
  static const Route kRoutes[];

  // Why this request is not answered, or else which route it takes.
  std::optional<HttpResponse> refuse(const HttpRequest& request, const Route*& route);
  std::optional<HttpResponse> ask_password(const std::string& shown);

  HttpResponse page(const HttpRequest& request);
  HttpResponse status(const HttpRequest& request);
  HttpResponse settings(const HttpRequest& request);
  HttpResponse change_settings(const HttpRequest& request);
  HttpResponse change_wifi(const HttpRequest& request);
  HttpResponse change_access(const HttpRequest& request);
  HttpResponse restart(const HttpRequest& request);
  HttpResponse update(const HttpRequest& request);
  void capture(const HttpRequest& request, Reply reply);

  Board& board_;
  WifiSupervisor& wifi_;
  Machine& machine_;
  PasswordGuard guard_;
  bool updating_ = false;  // from here on until the restart
};

}  // namespace camcore

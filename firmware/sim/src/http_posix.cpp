// The HTTP server of http_server.h on a PC: one thread, a few connections, one request each.
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <list>
#include <thread>

#include "camcore/json.h"
#include "http_server.h"
#include "network.h"
#include "sim.h"

namespace {

namespace net = sim::net;
using camcore::HttpRequest;
using camcore::HttpResponse;

constexpr size_t kConnections = 4;
constexpr size_t kLongestHead = 2048;
constexpr int64_t kPatience = 5 * sim::kSecond;  // for a head, for more of a body, for a reader
constexpr int64_t kToLeave = 2 * sim::kSecond;   // without another byte
constexpr size_t kToDiscard = 8 << 20;
constexpr int kLookMs = 20;  // how often to look whether the Wi-Fi has come or gone

HttpResponse refusal(int status, const char* code, const char* detail) {
  HttpResponse response;
  response.status = status;
  response.body = camcore::Writer().add("error", code).add("detail", detail).done();
  return response;
}

struct Connection {
  int fd;
  int64_t since;
  std::string received;
  bool leaving = false;  // answered; what still comes is thrown away
  size_t discarded = 0;
};

struct Head {
  HttpRequest request;
  size_t length = 0;  // of the body
  bool expects_go_on = false;
};

bool number(const std::string& text, size_t& value) {
  if (text.empty() || text.size() > 9 ||
      text.find_first_not_of("0123456789") != std::string::npos) {
    return false;
  }
  value = static_cast<size_t>(atol(text.c_str()));
  return true;
}

// Nothing, or what is wrong with it.
std::optional<HttpResponse> parse(const std::string& text, Head& head) {
  const auto bad = [](const char* why) { return refusal(400, camcore::error::kBadRequest, why); };
  size_t end = text.find("\r\n");
  const std::string line = text.substr(0, end);
  const size_t first = line.find(' '), last = line.rfind(' ');
  if (first == 0 || first == std::string::npos || first == last ||
      line.compare(last, 8, " HTTP/1.") != 0 || line[first + 1] != '/') {
    return bad("that is no HTTP/1 request");
  }
  HttpRequest& request = head.request;
  request.method = line.substr(0, first);
  const std::string target = line.substr(first + 1, last - first - 1);
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);

  for (size_t begin; (begin = end + 2) < text.size();) {
    end = text.find("\r\n", begin);
    const std::string header = text.substr(begin, end - begin);
    const size_t colon = header.find(':');
    if (colon == std::string::npos) return bad("a header without a colon");
    const std::string name = header.substr(0, colon);
    const size_t value_at = header.find_first_not_of(" \t", colon + 1);
    const std::string value = value_at == std::string::npos ? "" : header.substr(value_at);
    const auto is = [&](const char* known) { return strcasecmp(name.c_str(), known) == 0; };
    if (is("Host")) {
      request.host = value;
    } else if (is("X-Password")) {
      request.password = value;
    } else if (is("Expect")) {
      head.expects_go_on = true;
    } else if (is("Transfer-Encoding")) {
      return refusal(411, camcore::error::kBadRequest, "Content-Length is needed");
    } else if (is("Content-Length") && !number(value, head.length)) {
      return bad("Content-Length: expected a number of at most nine digits");
    }
  }
  return {};
}

class Server {
 public:
  explicit Server(HttpHandler& handler) : handler_(handler) {}

  void run() {
    for (;;) {
      wait();
      for (int fd; (fd = net::accept(net::kHttp)) >= 0;) {
        if (connections_.size() == kConnections) drop(connections_.begin());  // the oldest
        connections_.push_back({fd, sim::now(), "", false, 0});
      }
      for (auto i = connections_.begin(); i != connections_.end();) {
        const auto connection = i++;
        if (!attend(*connection)) drop(connection);
      }
    }
  }

 private:
  using Connections = std::list<Connection>;

  void drop(Connections::iterator connection) {
    net::close(connection->fd);
    connections_.erase(connection);
  }

  void wait() {
    std::vector<pollfd> waiting{{net::listener(net::kHttp), POLLIN, 0}};
    for (const Connection& connection : connections_) {
      waiting.push_back({connection.fd, POLLIN, 0});
    }
    poll(waiting.data(), waiting.size(), kLookMs);
  }

  // False: it is over.
  bool attend(Connection& connection) {
    char bytes[4096];
    const ssize_t got = net::receive(connection.fd, bytes, sizeof bytes);
    if (got == 0 || (got < 0 && errno != EWOULDBLOCK)) return false;
    const int64_t silent = sim::now() - connection.since;
    if (connection.leaving) {
      if (got < 0) return silent < kToLeave;
      connection.since = sim::now();
      connection.discarded += static_cast<size_t>(got);
      return connection.discarded < kToDiscard;
    }
    if (got < 0 && silent < kPatience) return true;
    if (got < 0) return leave(connection, refusal(408, "timeout", "the request did not end"));
    connection.received.append(bytes, static_cast<size_t>(got));
    const size_t end = connection.received.find("\r\n\r\n");
    if (std::min(end, connection.received.size()) > kLongestHead) {
      return leave(connection, refusal(431, camcore::error::kBadRequest, "too long a head"));
    }
    if (end == std::string::npos) return true;
    Head head;
    auto refused = parse(connection.received.substr(0, end + 2), head);
    connection.received.erase(0, end + 4);
    return leave(connection, refused ? std::move(*refused) : serve(connection, head));
  }

  HttpResponse serve(Connection& connection, Head& head) {
    size_t left = head.length;
    const HttpHandler::Body body = [&](uint8_t* out, size_t size) {
      const size_t got = read_body(connection, head, out, std::min(size, left));
      left -= got;
      return got;
    };
    if (head.request.method == "POST" && head.request.path == kUpdatePath) {
      return handler_.update(head.request, head.length, body);
    }
    std::string& all = head.request.body;
    all.resize(std::min(head.length, camcore::kMaxBody + 1));
    for (size_t have = 0; have < all.size();) {
      const size_t got = body(reinterpret_cast<uint8_t*>(&all[have]), all.size() - have);
      if (got == 0) return refusal(408, "timeout", "the body did not end");
      have += got;
    }
    return handler_.answer(head.request);
  }

  // What has come with the head first, then what comes.
  static size_t read_body(Connection& connection, Head& head, uint8_t* out, size_t size) {
    if (size == 0) return 0;
    std::string& before = connection.received;
    if (before.empty()) {
      if (head.expects_go_on) send(connection.fd, "HTTP/1.1 100 Continue\r\n\r\n");
      head.expects_go_on = false;
      if (!net::wait_to_read(connection.fd, sim::now() + kPatience)) return 0;
      const ssize_t got = net::receive(connection.fd, out, size);
      return got > 0 ? static_cast<size_t>(got) : 0;
    }
    size = std::min(size, before.size());
    memcpy(out, before.data(), size);
    before.erase(0, size);
    return size;
  }

  static bool send(int fd, std::string_view data) {
    for (size_t sent = 0; sent < data.size();) {
      if (!net::wait_to_send(fd, sim::now() + kPatience)) return false;
      const ssize_t put = net::send(fd, data.data() + sent, data.size() - sent);
      if (put < 0 && errno != EWOULDBLOCK) return false;
      if (put > 0) sent += static_cast<size_t>(put);
    }
    return true;
  }

  // The answer, and the end of what we send. Closed with something unread, a connection would end
  // in a reset that may overtake it.
  static bool leave(Connection& connection, const HttpResponse& response) {
    const camcore::Frame& frame = response.picture.frame;
    const std::string_view content =
        frame ? std::string_view(reinterpret_cast<const char*>(frame.data()), frame.size())
              : std::string_view(response.body);
    std::string head = "HTTP/1.1 " + std::to_string(response.status) + " " +
                       http_reason(response.status) + "\r\nContent-Type: " + response.type +
                       "\r\nContent-Length: " + std::to_string(content.size()) +
                       "\r\nConnection: close\r\n";
    for (const auto& [name, value] : http_headers(response)) {
      head += std::string(name) + ": " + value + "\r\n";
    }
    if (!send(connection.fd, head + "\r\n") || !send(connection.fd, content)) return false;
    shutdown(connection.fd, SHUT_WR);
    connection.leaving = true;
    connection.since = sim::now();
    return true;
  }

  HttpHandler& handler_;
  Connections connections_;
};

}  // namespace

bool start_http_server(HttpHandler& handler, uint16_t) {
  net::listen(net::kHttp);
  std::thread([&handler] { Server(handler).run(); }).detach();
  return true;
}

// The control socket: a line in, a line out. A client may send several.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <thread>
#include <vector>

#include "network.h"
#include "sim.h"

namespace sim {
namespace {

constexpr int kTickMs = 1000;

std::string state() {
  cJSON* const state = cJSON_CreateObject();
  tell_chip(state);
  tell_camera(state);
  tell_radio(state);
  tell_mdns(state);
  net::tell(state);
  tell_websockets(state);
  tell_update(state);
  char* const text = cJSON_PrintUnformatted(state);
  const std::string told = text;
  cJSON_free(text);
  cJSON_Delete(state);
  return told;
}

// One command's words, taken one by one; `good` is whether they made sense so far.
class Words {
 public:
  explicit Words(const std::string& line) : words_(line) {}

  std::string word() {
    std::string word;
    good_ = good_ && words_ >> word;
    return word;
  }

  double number() {
    double number = 0;
    good_ = good_ && words_ >> number;
    return number;
  }

  double number_or(double otherwise) {
    double number;
    return words_ >> number ? number : otherwise;
  }

  bool one_of(const char* yes, const char* no) {
    const std::string said = word();
    good_ = good_ && (said == yes || said == no);
    return said == yes;
  }

  bool done() {
    std::string more;
    return good_ && !(words_ >> more);
  }

 private:
  std::istringstream words_;
  bool good_ = true;
};

bool obey_fail(Words& words) {
  const std::string times = words.word();
  if (times == "0") return words.done() && fail(0, "null", 0);
  const std::string kind = words.word();
  const double wait_ms = words.number_or(4000);
  return words.done() && fail(times == "forever" ? -1 : atoi(times.c_str()), kind,
                              static_cast<int64_t>(wait_ms * kMs));
}

bool obey_restart(Words& words, int client) {
  const std::string reason = words.word();
  bool known = false;
  for (const char* name : {"power_on", "software", "panic", "watchdog", "brownout", "deep_sleep"}) {
    known = known || reason == name;
  }
  if (!known || !words.done()) return false;
  ::send(client, "ok\n", 3, MSG_NOSIGNAL);
  restart(reason.c_str());
}

// The answer, without its "ok "; false: it was not understood.
bool obey(const std::string& line, int client, std::string& answer) {
  Words words(line);
  const std::string command = words.word();
  if (command == "state") {
    answer = state();
    return words.done();
  }
  if (command == "fail") return obey_fail(words);
  if (command == "restart") return obey_restart(words, client);
  if (command == "overflow") {
    const double quality = words.number();
    if (words.done()) return overflow_below(static_cast<int>(quality)), true;
  } else if (command == "camera") {
    const bool on = words.one_of("on", "off");
    if (words.done()) return connect_camera(on), true;
  } else if (command == "wifi") {
    const bool up = words.one_of("up", "down");
    if (words.done()) return set_wifi(up), true;
  } else if (command == "guests") {
    const double count = words.number();
    if (words.done()) return set_guests(static_cast<int>(count)), true;
  } else if (command == "advance") {
    const double seconds = words.number();
    if (words.done() && seconds >= 0) return advance(static_cast<int64_t>(seconds * kSecond)), true;
  } else if (command == "heap") {
    const double free = words.number();
    const double largest = words.number();
    if (words.done()) {
      return set_heap(static_cast<uint32_t>(free), static_cast<uint32_t>(largest)), true;
    }
  } else if (command == "link-rate") {
    const double rate = words.number();
    if (words.done() && rate >= 0) return net::set_rate(static_cast<int>(rate)), true;
  }
  return false;
}

struct Visitor {
  int fd;
  std::string heard;
};

// False: it is gone.
bool attend(Visitor& visitor) {
  char bytes[1024];
  const ssize_t got = recv(visitor.fd, bytes, sizeof bytes, 0);
  if (got <= 0) return false;
  visitor.heard.append(bytes, static_cast<size_t>(got));
  for (size_t end; (end = visitor.heard.find('\n')) != std::string::npos;) {
    const std::string line = visitor.heard.substr(0, end);
    visitor.heard.erase(0, end + 1);
    std::string answer;
    if (obey(line, visitor.fd, answer)) {
      answer = answer.empty() ? "ok\n" : "ok " + answer + "\n";
    } else {
      answer = "error: what is \"" + line.substr(0, 60) + "\"?\n";
    }
    ::send(visitor.fd, answer.data(), answer.size(), MSG_NOSIGNAL);
  }
  return visitor.heard.size() < sizeof bytes;
}

void run() {
  using Clock = std::chrono::steady_clock;
  std::vector<Visitor> visitors;
  Clock::time_point ticked = Clock::now();
  for (;;) {
    std::vector<pollfd> waiting{{boot.control, POLLIN, 0}};
    for (const Visitor& visitor : visitors) waiting.push_back({visitor.fd, POLLIN, 0});
    poll(waiting.data(), waiting.size(), kTickMs);
    if (Clock::now() - ticked >= std::chrono::milliseconds(kTickMs)) {
      ticked = Clock::now();
      watch();
    }
    for (size_t i = visitors.size(); i > 0; --i) {
      if (waiting[i].revents == 0 || attend(visitors[i - 1])) continue;
      ::close(visitors[i - 1].fd);
      visitors.erase(visitors.begin() + static_cast<std::ptrdiff_t>(i) - 1);
    }
    if (waiting[0].revents != 0) {
      const int fd = accept4(boot.control, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) visitors.push_back({fd, ""});
    }
  }
}

}  // namespace

void open_control() {
  if (boot.control >= 0 || options.control.empty()) return;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", options.control.c_str());
  unlink(options.control.c_str());
  boot.control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (options.control.size() >= sizeof address.sun_path ||
      bind(boot.control, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(boot.control, 8) != 0) {
    perror(("esp32cam-sim: " + options.control).c_str());
    exit(2);
  }
}

void start_control() { std::thread(run).detach(); }

}  // namespace sim

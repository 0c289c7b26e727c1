// mDNS: what the firmware asks ESPmDNS.h to tell, and with --mdns a responder that does tell it.
#include <ESPmDNS.h>
#include <arpa/inet.h>
#include <poll.h>
#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "defaults.h"
#include "network.h"
#include "sim.h"

namespace {

struct Service {
  uint16_t port;
  std::map<std::string, std::string> txt;
};

std::mutex mutex;
std::string host_name, instance;
std::map<std::string, Service> services;  // by "_http._tcp"
bool news = false;                        // not announced yet

// The firmware knows the board's ports; ours may be others.
uint16_t ours(uint16_t port) {
  const auto which = port == WEBSOCKET_PORT ? sim::net::kWebSocket : sim::net::kHttp;
  return static_cast<uint16_t>(sim::net::number(which));
}

std::string type_of(const char* service, const char* protocol) {
  const auto part = [](const char* name) {
    return (name[0] == '_' ? "" : "_") + std::string(name);
  };
  return part(service) + "." + part(protocol);
}

// --- The responder: RFC 6762 as far as a board alone with its name needs it. It tells everything of
// a service at once, and does not look at what the one who asks knows already.

constexpr uint16_t kPort = 5353;
constexpr const char* kGroup = "224.0.0.251";
constexpr int kLook = 50;  // ms until news goes out, by when all of it is there
constexpr uint16_t kPtr = 12, kTxt = 16, kSrv = 33, kA = 1, kAny = 255;
constexpr uint16_t kIn = 1, kFlush = 0x8000;  // kFlush: nobody else has such a record
constexpr uint32_t kHostTtl = 120, kOtherTtl = 4500;

using Name = std::vector<std::string>;  // its labels

Name split(const std::string& dotted) {
  Name name;
  for (size_t at = 0; at <= dotted.size();) {
    const size_t end = std::min(dotted.find('.', at), dotted.size());
    name.push_back(dotted.substr(at, end - at));
    at = end + 1;
  }
  return name;
}

bool same(const Name& one, const Name& other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](const std::string& a, const std::string& b) {
                      return a.size() == b.size() && strcasecmp(a.c_str(), b.c_str()) == 0;
                    });
}

class Packet {
 public:

  bool empty() const { return bytes_[7] == 0; }
  const std::string& bytes() const { return bytes_; }

  void add(const Name& name, uint16_t type, uint16_t a_class, uint32_t ttl,
           const std::string& data) {
    put(bytes_, name);
    put(bytes_, type);
    put(bytes_, a_class);
    put(bytes_, static_cast<uint16_t>(ttl >> 16));
    put(bytes_, static_cast<uint16_t>(ttl));
    put(bytes_, static_cast<uint16_t>(data.size()));
    bytes_ += data;
    ++bytes_[7];
  }

  static void put(std::string& out, uint16_t number) {
    out += static_cast<char>(number >> 8);
    out += static_cast<char>(number & 0xFF);
  }

  static void put(std::string& out, const Name& name) {
    for (const std::string& label : name) put(out, label);
    out += '\0';
  }

  static void put(std::string& out, const std::string& text) {
    out += static_cast<char>(text.size());
    out += text;
  }

 private:
  std::string bytes_ = std::string("\0\0\x84", 3) + std::string(9, '\0');  // answers, with authority
};

struct Question {
  Name name;
  uint16_t type;
};

// What is asked; what can't be read, or is an answer, asks nothing.
std::vector<Question> read(const std::string& packet) {
  const auto byte = [&](size_t at) {
    return at < packet.size() ? static_cast<uint8_t>(packet[at]) : 0u;
  };
  std::vector<Question> questions;
  if (packet.size() < 12 || (byte(2) & 0x80) != 0) return questions;
  size_t at = 12;
  for (unsigned left = byte(4) << 8 | byte(5); left > 0 && at < packet.size(); --left) {
    Name name;
    size_t after = 0;  // where the question goes on, if its name went elsewhere
    int jumps = 0;
    while (const unsigned length = byte(at)) {
      if (length >= 0xC0) {
        if (++jumps > 8) return questions;
        if (after == 0) after = at + 2;
        at = (length & 0x3F) << 8 | byte(at + 1);
      } else {
        if (at + 1 + length > packet.size() || name.size() > 32) return questions;
        name.push_back(packet.substr(at + 1, length));
        at += 1 + length;
      }
    }
    at = after == 0 ? at + 1 : after;
    questions.push_back({name, static_cast<uint16_t>(byte(at) << 8 | byte(at + 1))});
    at += 4;
  }
  return questions;
}

// All about the services that are asked for; about all of them without questions.
Packet answer(const std::vector<Question>* questions) {
  Packet packet;
  const std::lock_guard<std::mutex> lock(mutex);
  const Name host = {host_name, "local"};
  in_addr address = {};
  inet_pton(AF_INET, sim::options.host.c_str(), &address);
  const std::string a(reinterpret_cast<const char*>(&address), sizeof address);
  for (const auto& [type, service] : services) {
    const Name kind = split(type + ".local");
    Name full = kind;
    full.insert(full.begin(), instance);
    const auto asked = [&](const Question& q) {
      const auto is = [&](uint16_t t) { return q.type == t || q.type == kAny; };
      return (same(q.name, kind) && is(kPtr)) || (same(q.name, host) && is(kA)) ||
             (same(q.name, full) && (is(kSrv) || is(kTxt)));
    };
    if (questions != nullptr && std::none_of(questions->begin(), questions->end(), asked)) continue;
    std::string ptr, srv(4, '\0'), txt;  // of a service's location: priority and weight 0
    Packet::put(ptr, full);
    Packet::put(srv, ours(service.port));
    Packet::put(srv, host);
    for (const auto& [key, value] : service.txt) Packet::put(txt, key + "=" + value);
    if (txt.empty()) txt.assign(1, '\0');
    packet.add(kind, kPtr, kIn, kOtherTtl, ptr);
    packet.add(full, kSrv, kIn | kFlush, kHostTtl, srv);
    packet.add(full, kTxt, kIn | kFlush, kOtherTtl, txt);
    packet.add(host, kA, kIn | kFlush, kHostTtl, a);
  }
  return packet;
}

int open_socket() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  const uint8_t ttl = 255;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl);
  sockaddr_in where = {};
  where.sin_family = AF_INET;
  where.sin_port = htons(kPort);
  ip_mreq group = {};
  inet_pton(AF_INET, kGroup, &group.imr_multiaddr);
  inet_pton(AF_INET, sim::options.host.c_str(), &group.imr_interface);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0 &&
      setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == 0 &&
      setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &group.imr_interface, sizeof(in_addr)) == 0) {
    return fd;
  }
  perror("esp32cam-sim: --mdns");
  close(fd);
  return -1;
}

void respond() {
  const int fd = open_socket();
  if (fd < 0) return;
  sockaddr_in everybody = {};
  everybody.sin_family = AF_INET;
  everybody.sin_port = htons(kPort);
  inet_pton(AF_INET, kGroup, &everybody.sin_addr);
  const auto tell = [&](const Packet& packet) {
    if (packet.empty()) return;
    const std::string& bytes = packet.bytes();
    sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&everybody),
           sizeof everybody);
  };
  for (bool was_there = false;;) {
    pollfd wanted = {fd, POLLIN, 0};
    std::string packet(poll(&wanted, 1, kLook) > 0 ? 9000 : 0, '\0');  // RFC 6762: 9,000 at most
    if (!packet.empty()) {
      const ssize_t got = recv(fd, packet.data(), packet.size(), 0);
      packet.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    }
    const bool there = sim::on_wifi();
    if (there && !packet.empty()) {
      const std::vector<Question> questions = read(packet);
      if (!questions.empty()) tell(answer(&questions));
    }
    bool has_news;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      has_news = there && packet.empty() && (news || !was_there);
      if (has_news) news = false;
    }
    if (has_news) tell(answer(nullptr));
    was_there = there && (was_there || has_news);
  }
}

}  // namespace

void sim::tell_mdns(cJSON* state) {
  const std::lock_guard<std::mutex> lock(mutex);
  cJSON_AddStringToObject(state, "host_name", host_name.c_str());
  cJSON* const mdns = cJSON_AddArrayToObject(state, "mdns");
  for (const auto& [type, service] : services) {
    cJSON* const told = cJSON_CreateObject();
    cJSON_AddStringToObject(told, "instance", instance.c_str());
    cJSON_AddStringToObject(told, "service", type.c_str());
    cJSON_AddNumberToObject(told, "port", service.port);
    cJSON* const txt = cJSON_AddObjectToObject(told, "txt");
    for (const auto& [key, value] : service.txt) {
      cJSON_AddStringToObject(txt, key.c_str(), value.c_str());
    }
    cJSON_AddItemToArray(mdns, told);
  }
}

MDNSResponder MDNS;

bool MDNSResponder::begin(const char* name) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (sim::options.mdns && host_name.empty()) std::thread(respond).detach();
  host_name = name;
  return true;
}

void MDNSResponder::setInstanceName(const char* name) {
  const std::lock_guard<std::mutex> lock(mutex);
  instance = name;
  news = true;
}

bool MDNSResponder::addService(const char* service, const char* protocol, uint16_t port) {
  const std::lock_guard<std::mutex> lock(mutex);
  news = true;
  return !host_name.empty() && services.insert({type_of(service, protocol), {port, {}}}).second;
}

bool MDNSResponder::addServiceTxt(const char* service, const char* protocol, const char* key,
                                  const char* value) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto known = services.find(type_of(service, protocol));
  if (known == services.end()) return false;
  known->second.txt[key] = value;
  news = true;
  return true;
}

#include "camcore/board.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "camcore/auth.h"
#include "camcore/crc32.h"
#include "camcore/json.h"

namespace camcore {
namespace {

constexpr std::string_view kV1 = "/v1";
constexpr std::string_view kCapture = "capture";
constexpr size_t kMaxId = 128;      // characters
constexpr size_t kMaxDetail = 200;  // bytes

// The socket's send buffer has 5,760 bytes (sdkconfig of both cores), and as much again goes for
// Wi-Fi's own buffers, a message of 1 KiB and its JSON; below, sending fails half-way.
constexpr uint32_t kLeastHeap = 20 * 1024;
constexpr uint32_t kLeastBlock = 8 * 1024;

// An answer that took longer to send has kept everybody waiting; a grab that nothing comes of would
// add four seconds to that.
constexpr Micros kSlowRound = kSecond;

constexpr Micros kGoodbye = 300 * kMillisecond;  // for last words to be sent before a restart

constexpr uint16_t kGoingAway = 1001;
constexpr uint16_t kPolicy = 1008;

Fault bad(std::string detail) { return {error::kBadRequest, std::move(detail), -1}; }

Fault busy(const char* why) { return {error::kBusy, why, 200}; }

}  // namespace

Board::Board(Sensor& sensor, Led& led, Store& store, Machine& machine, Identity identity)
    : sensor_(sensor),
      store_(store),
      machine_(machine),
      identity_(std::move(identity)),
      lamp_(led),
      capture_(sensor, lamp_, machine) {}

void Board::begin() {
  stored_ = settings_ = load_settings(store_);
  access_ = load_access(store_, machine_);
  if (!sensor_.ready()) return;
  Settings fitting_ones = settings_;
  fitting_ones.framesize = fitting(settings_.framesize, sensor_.largest());
  sensor_.apply(fitting_ones);
}

// --- Connections.

bool Board::admits(std::string_view path) const {
  return access_.key.empty() || access_.allow_legacy || path == kV1;
}

void Board::opened(int slot, std::string_view path, Link& link) {
  Session& session = sessions_[static_cast<size_t>(slot)];
  session = Session();
  session.link = &link;
  session.v1 = path == kV1;
  session.trusted = access_.key.empty() || !session.v1;
  session.opened = session.heard = machine_.now();
  if (session.v1) greet(session);
}

void Board::closed(int slot) {
  for (size_t i = jobs_.size(); i-- > 0;) {
    if (jobs_[i].slot != slot) continue;
    if (i == 0 && capture_.running()) capture_.cancel();
    jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  sessions_[static_cast<size_t>(slot)] = Session();
}

void Board::heard(int slot, Kind kind, const uint8_t* data, size_t size) {
  Session& session = sessions_[static_cast<size_t>(slot)];
  if (session.link == nullptr) return;
  session.heard = machine_.now();
  // The library passes a null pointer for an empty message.
  std::string text(size == 0 ? "" : reinterpret_cast<const char*>(data), size);
  session.messages.push_back({kind, std::move(text)});
}

bool Board::busy(int slot) const {
  const Session& session = sessions_[static_cast<size_t>(slot)];
  return session.asked || !session.messages.empty();
}

int Board::gives_way() {
  int found = -1;
  const Micros now = machine_.now();
  for (int slot = 0; slot < kSlots; ++slot) {
    const Session& session = sessions_[static_cast<size_t>(slot)];
    const bool silent = !session.useful || now - session.heard >= kIdle;
    if (session.link == nullptr || busy(slot) || !silent) continue;
    if (found >= 0) {
      const Session& other = sessions_[static_cast<size_t>(found)];
      if (session.useful != other.useful ? session.useful : session.heard >= other.heard) continue;
    }
    found = slot;
  }
  return found;
}

// --- What the board says of itself.

void Board::describe(Writer& out) const {
  std::vector<const char*> sizes;
  for (const FrameSize* size : framesizes_up_to(sensor_.largest())) sizes.push_back(size->name);
  std::vector<const char*> features;
  if (lamp_.there()) features.push_back("flash");
  features.insert(features.end(), {"framesize", "quality", "status", "settings", "restart"});
  out.add("protocol", 1).add("device", "esp32cam").add("name", identity_.name);
  out.add("firmware", identity_.firmware).add("board", identity_.board);
  out.add("sensor", sensor_.model()).add("psram", identity_.psram);
  out.add("framesizes", sizes).add("features", features);
  out.add("auth", access_.key.empty() ? "none" : "hmac");
}

void Board::report(Writer& out) {
  const Health health = machine_.health();
  const Tally& tally = capture_.tally();
  out.add("uptime_ms", machine_.now() / kMillisecond).add("rssi", health.rssi);
  out.add("heap", health.heap).add("min_heap", health.min_heap);
  out.add("largest_block", health.largest_block).add("psram_free", health.psram_free);
  out.add("reset_reason", machine_.reset_reason()).add("captures", tally.captures);
  out.add("failures", tally.failures).add("camera_reinits", tally.camera_restarts);
  out.add("wifi_reconnects", wifi_reconnects_);
  if (!sensor_.ready()) out.add("camera_fault", cut(sensor_.fault(), kMaxDetail));
}

std::string Board::status_json() {
  Writer out("status");
  describe(out);
  report(out);
  write(out, settings_);
  return out.done();
}

void Board::greet(Session& session) {
  Writer hello("hello");
  describe(hello);
  if (!access_.key.empty()) {
    session.nonce = make_nonce(machine_);
    hello.add("nonce", session.nonce);
  }
  session.link->text(hello.done());
}

// --- Messages.

void Board::answer(int slot) {
  Session& session = sessions_[static_cast<size_t>(slot)];
  const Session::Message message = session.messages.front();
  if (!session.v1) {
    if (answer_legacy(slot, message)) session.messages.pop_front();
    return;
  }
  session.messages.pop_front();
  std::optional<std::string> id;
  if (const auto fault = obey(slot, message, id)) fail(session, id, *fault);
}

// As the original sketch: `capture` brings a picture, everything else nothing. False: not yet.
bool Board::answer_legacy(int slot, const Session::Message& message) {
  if (message.kind != Kind::kText || message.text != kCapture || stopped_) return true;
  if (jobs_.size() >= static_cast<size_t>(kWaiting)) return false;
  jobs_.push_back({slot, {}, Shot(), nullptr});
  sessions_[static_cast<size_t>(slot)].asked = true;
  return true;
}

std::optional<Fault> Board::obey(int slot, const Session::Message& message,
                                 std::optional<std::string>& id) {
  Session& session = sessions_[static_cast<size_t>(slot)];
  const bool bare = message.kind == Kind::kText && message.text == kCapture;
  Json command;
  std::string name(kCapture);
  if (!bare) {
    if (message.kind != Kind::kText) return bad("expected a text message in one frame");
    Outcome<Json> parsed = parse_object(message.text);
    if (const Fault* fault = fault_of(parsed)) return session.trusted ? *fault : deny(session);
    command = std::move(std::get<Json>(parsed));
    if (const cJSON* given = member(command.get(), "id"); given && !cJSON_IsNull(given)) {
      const size_t length = cJSON_IsString(given) ? characters(given->valuestring) : 0;
      if (length < 1 || length > kMaxId) return bad("id: expected 1 to 128 characters");
      id = given->valuestring;
    }
    const cJSON* cmd = member(command.get(), "cmd");
    if (!cJSON_IsString(cmd)) return bad("cmd: expected the name of a command");
    name = cmd->valuestring;
    if (name == "auth") return prove(session, command.get(), id);
  }
  if (!session.trusted) return deny(session);
  if (name == kCapture) return queue(slot, command.get(), id);
  if (name == "status") {
    Writer status("status");
    report(status.add_id(id));
    session.link->text(status.done());
  } else if (name == "set") {
    const cJSON* settings = member(command.get(), "settings");
    if (settings != nullptr && !cJSON_IsObject(settings)) {
      return bad("settings: expected an object, got " + quoted(settings));
    }
    bool persist = false;
    if (auto fault = read_flag(command.get(), "persist", persist)) return fault;
    if (settings != nullptr) {
      const auto now = change(settings, persist);
      if (const Fault* fault = fault_of(now)) return *fault;
    }
    Writer all("settings");
    write(all.add_id(id), settings_);
    session.link->text(all.done());
  } else if (name == "restart") {
    session.link->text(Writer("ok").add_id(id).add("cmd", "restart").done());
    restart_soon();
  } else {
    return Fault{error::kUnknownCommand,
                 quoted(member(command.get(), "cmd"), 60) + " is no command of this board", -1};
  }
  return {};
}

Fault Board::deny(Session& session) {
  session.link->close(kPolicy, "unauthorized");
  return {error::kUnauthorized, "this board has a key, and wants proof of it first", -1};
}

std::optional<Fault> Board::prove(Session& session, const cJSON* command,
                                  const std::optional<std::string>& id) {
  if (!access_.key.empty()) {
    const cJSON* mac = member(command, "mac");
    const std::string right =
        session.nonce.empty() ? std::string() : hmac_sha256_hex(access_.key, session.nonce);
    session.nonce.clear();  // good for one try
    session.trusted = !right.empty() && same(cJSON_IsString(mac) ? mac->valuestring : "", right);
    if (!session.trusted) {
      session.link->close(kPolicy, "unauthorized");
      return Fault{error::kUnauthorized, "that is not the board's key", -1};
    }
    session.useful = true;
  }
  session.link->text(Writer("ok").add_id(id).add("cmd", "auth").done());
  return {};
}

void Board::fail(Session& session, const std::optional<std::string>& id, const Fault& fault) {
  Writer out("error");
  out.add_id(id).add("error", fault.code).add("detail", cut(fault.detail, kMaxDetail));
  if (fault.retry_after_ms >= 0) out.add("retry_after_ms", fault.retry_after_ms);
  session.link->text(out.done());
}

// --- Captures.

std::string Board::fits() const {
  const std::string largest = sensor_.largest();
  return largest.empty() ? kFrameSizes[sizeof kFrameSizes / sizeof *kFrameSizes - 1].name : largest;
}

// Why no further capture can be taken on now.
std::optional<Fault> Board::obstacle() {
  if (stopped_) return Fault{error::kBusy, "the board is being updated", 1000};
  if (jobs_.size() >= static_cast<size_t>(kWaiting)) {
    return camcore::busy("others are waiting for the camera");
  }
  const Health health = machine_.health();
  if (health.heap < kLeastHeap || health.largest_block < kLeastBlock) {
    return Fault{error::kLowMemory, "too little memory is free to send a picture", 1000};
  }
  return {};
}

std::optional<Fault> Board::queue(int slot, const cJSON* command,
                                  const std::optional<std::string>& id) {
  Shot shot;
  if (command != nullptr) {
    const auto parsed = parse_shot(command, sensor_.largest());
    if (const Fault* fault = fault_of(parsed)) return *fault;
    shot = std::get<Shot>(parsed);
  }
  if (auto fault = obstacle()) return fault;
  jobs_.push_back({slot, id, shot, nullptr});
  sessions_[static_cast<size_t>(slot)].asked = true;
  return {};
}

void Board::capture(const Shot& shot, Done done) {
  if (const auto fault = obstacle()) {
    done(*fault);
    return;
  }
  jobs_.push_back({-1, {}, shot, std::move(done)});
}

void Board::deliver(const Job& job, Outcome<Picture> outcome) {
  if (job.slot < 0) {
    job.done(std::move(outcome));
    return;
  }
  Session& session = sessions_[static_cast<size_t>(job.slot)];
  session.asked = false;
  if (const Fault* fault = fault_of(outcome)) {
    if (session.v1) fail(session, job.id, *fault);
    return;
  }
  const Picture& picture = std::get<Picture>(outcome);
  const Frame& frame = picture.frame;
  if (session.v1) {
    char crc[9];
    snprintf(crc, sizeof crc, "%08x", static_cast<unsigned>(crc32(frame.data(), frame.size())));
    const Micros age = std::max<Micros>(machine_.now() - picture.exposed, 0);
    Writer head("image");
    head.add_id(job.id).add("bytes", static_cast<int64_t>(frame.size())).add("crc32", crc);
    head.add("width", picture.width).add("height", picture.height);
    head.add("age_ms", age / kMillisecond).add("dropped", picture.dropped);
    head.add("flash", picture.flash).add("quality", picture.quality);
    if (!session.link->text(head.done())) return;
  }
  session.useful |= session.link->binary(frame.data(), frame.size());
  session.heard = machine_.now();
}

// --- Changes.

Outcome<Settings> Board::change(const cJSON* object, bool persist) {
  auto wanted = changed(settings_, object, fits());
  const Settings* settings = std::get_if<Settings>(&wanted);
  if (settings == nullptr) return wanted;
  settings_ = *settings;
  if (persist) {
    stored_ = std::get<Settings>(changed(stored_, object, fits()));
    if (!save_settings(store_, stored_)) machine_.log("settings: they could not be stored");
  }
  return wanted;
}

bool Board::change_access(const Access& access) {
  if (!save_access(store_, access)) return false;
  access_ = access;
  return true;
}

void Board::stop_camera() {
  stopped_ = true;
  if (capture_.running()) capture_.cancel();
  while (!jobs_.empty()) {
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    deliver(job, Fault{error::kBusy, "the board is being updated", 1000});
  }
}

void Board::restart_soon() {
  if (restart_at_ != 0) return;
  restart_at_ = machine_.now() + kGoodbye;
  for (Session& session : sessions_) {
    if (session.link != nullptr) session.link->close(kGoingAway, "restart");
  }
}

void Board::loop() {
  const Micros now = machine_.now();
  lamp_.tick(now);
  if (restart_at_ != 0 && now >= restart_at_) {
    lamp_.off(now);
    machine_.restart();
    return;
  }
  for (int slot = 0; slot < kSlots; ++slot) {
    Session& session = sessions_[static_cast<size_t>(slot)];
    if (session.link == nullptr) continue;
    if (!session.asked && !session.messages.empty()) answer(slot);
    if (!session.trusted && now - session.opened > kTimeToProve) {
      session.link->close(kPolicy, "unauthorized");
    }
  }
  if (jobs_.empty()) return;
  // Once in a row, or clients that don't read could keep the camera from ever being asked.
  put_off_ = !put_off_ && machine_.now() - now > kSlowRound;
  if (put_off_) return;
  if (!capture_.running()) {
    capture_.start(jobs_.front().shot, settings_);
    return;
  }
  if (auto outcome = capture_.step()) {
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    deliver(job, std::move(*outcome));
  }
}

}  // namespace camcore

#include "sockets.h"

#include <esp_timer.h>

#include <algorithm>
#include <cstring>

#include "defaults.h"

namespace {

using camcore::kSecond;
using camcore::Micros;

static_assert(WEBSOCKETS_SERVER_CLIENT_MAX == camcore::kSlots, "the core counts on as many slots");

// lwIP has 16 sockets in both cores: two that listen, 5 slots, these, and HTTP's two and its own
// two.
constexpr size_t kWaitingRoom = 3;
constexpr size_t kLeavingRoom = 2;

constexpr Micros kToAsk = 5 * kSecond;   // for a whole request
constexpr Micros kToRead = 5 * kSecond;  // for all the answers of a round; with a grab, under 6
constexpr Micros kToReadLittle =
    kSecond;                          // for what the library says: a handshake, a ping, a close
constexpr Micros kToLeave = kSecond;  // after our last word

constexpr char kNotWebSocket[] = "This is a WebSocket server only.\n";
constexpr char kRestarting[] = "This board is restarting.\n";
constexpr char kUnauthorized[] = "This board has a key: connect to /v1.\n";

}  // namespace

Sockets::Sockets(camcore::Board& board, uint16_t port) : board_(board), port_(port), server_(port) {
  for (uint8_t number = 0; number < WEBSOCKETS_SERVER_CLIENT_MAX; ++number) {
    slots_[number].server = this;
    slots_[number].number = number;
  }
  waiting_.reserve(kWaitingRoom);
  leaving_.reserve(kLeavingRoom);
}

void Sockets::begin() {
  WebSocketsServerCore::begin();
  enableHeartbeat(HEARTBEAT_INTERVAL_MS, HEARTBEAT_TIMEOUT_MS, HEARTBEAT_MISSES);
  server_.begin(port_);
}

void Sockets::loop() {
  part();
  accept();
  listen();
}

// --- In front of the door.

void Sockets::accept() {
  for (size_t i = 0; i < kWaitingRoom && server_.hasClient(); ++i) {
    const WiFiClient accepted = server_.accept();
    if (waiting_.size() == kWaitingRoom) waiting_.erase(waiting_.begin());  // the oldest
    waiting_.push_back({std::make_unique<GatedClient>(accepted), esp_timer_get_time()});
  }
  for (size_t i = 0; i < waiting_.size();) {
    waiting_[i].client->receive();
    if (settled(waiting_[i])) {
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

// Whether it has been dealt with, and no longer waits.
bool Sockets::settled(Guest& guest) {
  const camcore::Gate& gate = guest.client->gate();
  if (gate.state() == camcore::Gate::State::kWaiting) {
    return !guest.client->alive() || esp_timer_get_time() - guest.since > kToAsk;
  }
  if (gate.state() != camcore::Gate::State::kWhole || !gate.is_websocket()) {
    turn_away(guest, "400 Bad Request", kNotWebSocket);
  } else if (board_.leaving()) {
    turn_away(guest, "503 Service Unavailable", kRestarting);
  } else if (!board_.admits(gate.path())) {
    turn_away(guest, "401 Unauthorized", kUnauthorized);
  } else {
    seat(std::move(guest.client));
  }
  return true;
}

void Sockets::turn_away(Guest& guest, const char* status, const char* why) {
  char answer[256];
  snprintf(answer, sizeof answer,
           "HTTP/1.1 %s\r\n"
           "Content-Type: text/plain\r\n"
           "Content-Length: %u\r\n"
           "Connection: close\r\n"
           "Sec-WebSocket-Version: 13\r\n"
           "\r\n%s",
           status, static_cast<unsigned>(strlen(why)), why);
  guest.client->allow(kToReadLittle);
  guest.client->write(answer);
  show_out(std::move(guest.client));
}

void Sockets::seat(std::unique_ptr<GatedClient> newcomer) {
  newcomer->allow(kToReadLittle);
  WSclient_t* slot = newClient(newcomer.get());
  if (slot == nullptr) {
    const int gives_way = board_.gives_way();
    if (gives_way >= 0) {
      hang_up(static_cast<uint8_t>(gives_way), 1001, "another connection needed the place");
      slot = newClient(newcomer.get());
    }
  }
  if (slot == nullptr) {
    newcomer->cut();
    return;
  }
  newcomer.release();  // the library deletes it
  // What the slot's last client left behind: its missed pongs (Links2004 #922), its password.
  slot->pongTimeoutCount = 0;
  slot->base64Authorization = "";
}

// --- Inside.

void Sockets::listen() {
  for (Slot& slot : slots_) {
    GatedClient* const tcp = client(slot.number);
    if (tcp == nullptr) continue;
    const bool owed = board_.busy(slot.number);
    tcp->receive();
    tcp->hold(owed);
    tcp->allow(kToReadLittle);
    slot.answering = false;
    if (owed) {  // its pong may be waiting behind its next request
      _clients[slot.number].lastPing = millis();
      _clients[slot.number].pongReceived = true;
    }
    if (tcp->gate().state() == camcore::Gate::State::kTooLong) {
      slot.close(1009, "this board takes no messages as long as that");
    } else if (tcp->gate().state() == camcore::Gate::State::kBroken) {
      slot.close(1002, "that is no frame of a client");
    }
  }
  WebSocketsServerCore::loop();
}

void Sockets::runCbEvent(uint8_t number, WStype_t type, uint8_t* payload, size_t size) {
  using Kind = camcore::Board::Kind;
  Slot& slot = slots_[number];
  const auto hear = [&](Kind kind) { board_.heard(number, kind, payload, size); };
  switch (type) {
    case WStype_CONNECTED:
      slot.open = true;
      slot.close_code = 0;
      // Of the same request that was admitted, however the library reads it.
      board_.opened(number, client(number)->gate().path(), slot);
      break;
    case WStype_DISCONNECTED:
      if (slot.open) board_.closed(number);
      slot.open = false;
      break;
    case WStype_TEXT:
      hear(Kind::kText);
      break;
    case WStype_BIN:
      hear(Kind::kBinary);
      break;
    case WStype_FRAGMENT_TEXT_START:
    case WStype_FRAGMENT_BIN_START:
    case WStype_FRAGMENT:
    case WStype_FRAGMENT_FIN:
      hear(Kind::kFragment);
      break;
    default:  // the library answers pings, and notes pongs
      break;
  }
}

bool Sockets::Slot::text(std::string_view message) {
  return ready() &&
         server->sendTXT(number, reinterpret_cast<const uint8_t*>(message.data()), message.size());
}

bool Sockets::Slot::binary(const uint8_t* data, size_t size) {
  return ready() && server->sendBIN(number, data, size);
}

// The library would drop a lost client there and then, in the middle of the core's work, and tell
// the core of it; so it isn't asked.
bool Sockets::Slot::ready() {
  GatedClient* const tcp = server->client(number);
  if (tcp == nullptr || !tcp->alive()) return false;
  if (!answering) tcp->allow(kToRead);
  answering = true;
  return true;
}

// --- On the way out.

void Sockets::Slot::close(uint16_t code, std::string_view reason) {
  close_code = code;
  close_reason = reason;
}

void Sockets::part() {
  for (Slot& slot : slots_) {
    if (slot.open && slot.close_code != 0) {
      hang_up(slot.number, slot.close_code, slot.close_reason);
    }
  }
  for (Guest& guest : leaving_) guest.client->discard();
  const auto left = [now = esp_timer_get_time()](const Guest& guest) {
    return !guest.client->alive() || now - guest.since > kToLeave;
  };
  leaving_.erase(std::remove_if(leaving_.begin(), leaving_.end(), left), leaving_.end());
}

void Sockets::hang_up(uint8_t number, uint16_t code, std::string_view reason) {
  std::unique_ptr<GatedClient> leaver(client(number));
  if (leaver == nullptr) return;
  WSclient_t* const slot = &_clients[number];
  uint8_t words[125] = {static_cast<uint8_t>(code >> 8), static_cast<uint8_t>(code & 0xff)};
  const size_t size = 2 + reason.copy(reinterpret_cast<char*>(words) + 2, sizeof words - 2);
  leaver->allow(kToReadLittle);
  sendFrame(slot, WSop_close, words, size);
  slot->tcp = nullptr;  // or the library closes it there and then
  clientDisconnect(slot);
  show_out(std::move(leaver));
}

// Closed at once, with bytes of the other side still unread, a connection ends in a reset that may
// overtake our last words.
void Sockets::show_out(std::unique_ptr<GatedClient> leaver) {
  leaver->finish();
  if (leaving_.size() == kLeavingRoom) leaving_.erase(leaving_.begin());
  leaving_.push_back({std::move(leaver), esp_timer_get_time()});
}

GatedClient* Sockets::client(uint8_t number) {
  return static_cast<GatedClient*>(_clients[number].tcp);  // nobody else hands any in
}

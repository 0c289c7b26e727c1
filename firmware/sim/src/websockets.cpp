// WebSocketsServer.h's server. Where it does what a better one would not, a comment says so: that
// is what the firmware has to live with.
#include <WebSocketsServer.h>
#include <mbedtls/base64.h>
#include <mbedtls/md.h>

#include <atomic>
#include <vector>

#include "sim.h"

namespace {

std::atomic<uint32_t> pictures{0};

constexpr size_t kOnePacket = 1400;  // shorter messages go out with their header, in one write

// RFC 6455, 4.2.2.
String accept_key(const String& key) {
  const String text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  uint8_t hash[20];
  mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1),
             reinterpret_cast<const uint8_t*>(text.c_str()), text.length(), hash);
  uint8_t base64[32];
  size_t size = 0;
  mbedtls_base64_encode(base64, sizeof base64, &size, hash, sizeof hash);
  return reinterpret_cast<const char*>(base64);
}

// Unmasked. Of 65,535 bytes it takes the longest form, and should take the middle one.
size_t write_header(uint8_t* out, WSopcode_t opcode, size_t length, bool fin) {
  size_t size = 0;
  const auto put = [&](size_t byte) { out[size++] = static_cast<uint8_t>(byte); };
  put((fin ? 0x80u : 0u) | opcode);
  const int bytes = length < 126 ? 0 : length < 0xFFFF ? 2 : 8;
  put(bytes == 0 ? length : bytes == 2 ? 126 : 127);
  for (int i = bytes - 1; i >= 0; --i) put(length >> (8 * i) & 0xFF);
  return size;
}

struct Header {
  bool fin;
  WSopcode_t opcode;
  uint64_t length;
  bool masked;
  uint8_t mask[4];
};

}  // namespace

void sim::tell_websockets(cJSON* state) { cJSON_AddNumberToObject(state, "captures", pictures); }

void WebSockets::clientDisconnect(WSclient_t* client, uint16_t code, char* reason,
                                  size_t reasonLen) {
  uint8_t plain[] = {static_cast<uint8_t>(code >> 8), static_cast<uint8_t>(code & 0xFF)};
  if (client->status == WSC_CONNECTED && code != 0) {
    if (reason != nullptr) {
      sendFrame(client, WSop_close, reinterpret_cast<uint8_t*>(reason), reasonLen);
    } else {
      sendFrame(client, WSop_close, plain, sizeof plain);
    }
  }
  clientDisconnect(client);
}

bool WebSockets::sendFrame(WSclient_t* client, WSopcode_t opcode, uint8_t* payload, size_t length,
                           bool fin) {
  if (client->tcp == nullptr || !client->tcp->connected()) return false;
  if (client->status != WSC_CONNECTED) return false;
  uint8_t header[WEBSOCKETS_MAX_HEADER_SIZE];
  const size_t size = write_header(header, opcode, length, fin);
  if (length < kOnePacket) {
    std::vector<uint8_t> packet(header, header + size);
    if (length > 0) packet.insert(packet.end(), payload, payload + length);
    return write(client, packet.data(), packet.size()) == packet.size();
  }
  // Though the header may have gone out in part only, the payload follows.
  const bool begun = write(client, header, size) == size;
  return write(client, payload, length) == length && begun;
}

size_t WebSockets::write(WSclient_t* client, uint8_t* out, size_t n) {
  size_t total = 0;
  for (unsigned long moved = millis(); total < n;) {
    if (client->tcp == nullptr || !client->tcp->connected()) break;
    if (millis() - moved > WEBSOCKETS_TCP_TIMEOUT) break;
    const size_t sent = client->tcp->write(out + total, n - total);
    if (sent > 0) moved = millis();
    total += sent;
  }
  return total;
}

// Waits for all of it, and everybody waits with it.
bool WebSockets::read(WSclient_t* client, uint8_t* out, size_t n) {
  for (unsigned long moved = millis(); n > 0;) {
    if (!client->tcp->connected() || millis() - moved > WEBSOCKETS_TCP_TIMEOUT) return false;
    const int got = client->tcp->available() > 0 ? client->tcp->read(out, n) : 0;
    if (got > 0) {
      moved = millis();
      out += got;
      n -= static_cast<size_t>(got);
    } else {
      delay(1);
    }
  }
  return true;
}

// One frame. Reserved bits are ignored, and whether it is masked and how it is fragmented.
void WebSockets::handleWebsocket(WSclient_t* client) {
  uint8_t bytes[8];
  if (!read(client, bytes, 2)) return clientDisconnect(client, 1002);
  Header header = {(bytes[0] & 0x80) != 0,
                   static_cast<WSopcode_t>(bytes[0] & 0x0F),
                   bytes[1] & 0x7Fu,
                   (bytes[1] & 0x80) != 0,
                   {}};
  if (header.length >= 126) {
    const size_t size = header.length == 126 ? 2 : 8;
    if (!read(client, bytes, size)) return clientDisconnect(client, 1002);
    header.length = 0;
    for (size_t i = 0; i < size; ++i) header.length = header.length << 8 | bytes[i];
  }
  if (header.length > WEBSOCKETS_MAX_DATA_SIZE) return clientDisconnect(client, 1009);
  if (header.masked && !read(client, header.mask, 4)) return clientDisconnect(client, 1002);
  const size_t length = static_cast<size_t>(header.length);
  std::vector<uint8_t> payload(length + 1);  // and a NUL
  if (!read(client, payload.data(), length)) return clientDisconnect(client, 1002);
  for (size_t i = 0; header.masked && i < length; ++i) payload[i] ^= header.mask[i % 4];

  uint8_t* const data = length > 0 ? payload.data() : nullptr;
  switch (header.opcode) {
    case WSop_continuation:
    case WSop_text:
    case WSop_binary:
      break;
    case WSop_ping:
      sendFrame(client, WSop_pong, data, length);
      break;
    case WSop_pong:
      client->pongReceived = true;
      break;
    case WSop_close:
      return clientDisconnect(client, 1000);
    default:
      return clientDisconnect(client, 1002);
  }
  messageReceived(client, header.opcode, data, length, header.fin);
}

void WebSockets::handleHBTimeout(WSclient_t* client) {
  if (client->pingInterval == 0) return;
  if (client->pongReceived) {
    client->pongTimeoutCount = 0;
    return;
  }
  if (static_cast<uint32_t>(millis()) - client->lastPing <= client->pongTimeout) return;
  ++client->pongTimeoutCount;
  client->lastPing = millis() - client->pingInterval - 500;  // the next ping goes out at once
  if (client->disconnectTimeoutCount != 0 &&
      client->pongTimeoutCount >= client->disconnectTimeoutCount) {
    clientDisconnect(client);
  }
}

WebSocketsServerCore::~WebSocketsServerCore() { close(); }

void WebSocketsServerCore::begin() {
  for (uint8_t num = 0; num < WEBSOCKETS_SERVER_CLIENT_MAX; ++num) _clients[num].num = num;
  enableHeartbeat(_pingInterval, _pongTimeout, _disconnectTimeoutCount);
  _runnning = true;
}

void WebSocketsServerCore::close() {
  _runnning = false;
  disconnect();
}

void WebSocketsServerCore::loop() {
  if (!_runnning) return;
  for (WSclient_t& client : _clients) {
    if (!clientIsConnected(&client)) continue;
    if (client.tcp->available() > 0) {
      if (client.status == WSC_HEADER) {
        handleHeader(&client, client.tcp->readStringUntil('\n'));
      } else {
        handleWebsocket(&client);
      }
    }
    handleHBPing(&client);
    handleHBTimeout(&client);
  }
}

void WebSocketsServerCore::enableHeartbeat(uint32_t pingInterval, uint32_t pongTimeout,
                                           uint8_t disconnectTimeoutCount) {
  _pingInterval = pingInterval;
  _pongTimeout = pongTimeout;
  _disconnectTimeoutCount = disconnectTimeoutCount;
  for (WSclient_t& client : _clients) {
    client.pingInterval = pingInterval;
    client.pongTimeout = pongTimeout;
    client.disconnectTimeoutCount = disconnectTimeoutCount;
    client.pongReceived = false;
  }
}

bool WebSocketsServerCore::sendTXT(uint8_t num, const uint8_t* payload, size_t length) {
  if (!clientIsConnected(num)) return false;
  if (length == 0) length = strlen(reinterpret_cast<const char*>(payload));
  return sendFrame(&_clients[num], WSop_text, const_cast<uint8_t*>(payload), length);
}

bool WebSocketsServerCore::sendBIN(uint8_t num, const uint8_t* payload, size_t length) {
  if (!clientIsConnected(num)) return false;
  ++pictures;
  return sendFrame(&_clients[num], WSop_binary, const_cast<uint8_t*>(payload), length);
}

bool WebSocketsServerCore::sendPing(uint8_t num, uint8_t* payload, size_t length) {
  return clientIsConnected(num) && sendFrame(&_clients[num], WSop_ping, payload, length);
}

void WebSocketsServerCore::disconnect() {
  for (uint8_t num = 0; num < WEBSOCKETS_SERVER_CLIENT_MAX; ++num) disconnect(num);
}

void WebSocketsServerCore::disconnect(uint8_t num) {
  if (clientIsConnected(num)) WebSockets::clientDisconnect(&_clients[num], 1000);
}

bool WebSocketsServerCore::clientIsConnected(uint8_t num) {
  return num < WEBSOCKETS_SERVER_CLIENT_MAX && clientIsConnected(&_clients[num]);
}

// What the slot's last client left is still there: its missed pongs, its authorization.
WSclient_t* WebSocketsServerCore::newClient(WiFiClient* TCPclient) {
  for (WSclient_t& client : _clients) {
    if (clientIsConnected(&client)) continue;
    client.tcp = TCPclient;
    client.tcp->setNoDelay(true);
    client.tcp->setTimeout(WEBSOCKETS_TCP_TIMEOUT);
    client.status = WSC_HEADER;
    client.pingInterval = _pingInterval;
    client.pongTimeout = _pongTimeout;
    client.disconnectTimeoutCount = _disconnectTimeoutCount;
    client.lastPing = millis();
    client.pongReceived = false;
    return &client;
  }
  return nullptr;
}

void WebSocketsServerCore::clientDisconnect(WSclient_t* client) {
  if (client->tcp != nullptr) {
    if (client->tcp->connected()) client->tcp->stop();
    delete client->tcp;
    client->tcp = nullptr;
  }
  client->cUrl = "";
  client->cKey = "";
  client->cProtocol = "";
  client->cVersion = 0;
  client->cIsUpgrade = false;
  client->cIsWebsocket = false;
  client->status = WSC_NOT_CONNECTED;
  runCbEvent(client->num, WStype_DISCONNECTED, nullptr, 0);
}

// Not only asks: a client that is found to be gone is dropped there and then.
bool WebSocketsServerCore::clientIsConnected(WSclient_t* client) {
  if (client->tcp == nullptr) return false;
  if (client->tcp->connected() && client->status != WSC_NOT_CONNECTED) return true;
  clientDisconnect(client);
  return false;
}

void WebSocketsServerCore::messageReceived(WSclient_t* client, WSopcode_t opcode, uint8_t* payload,
                                           size_t length, bool fin) {
  WStype_t type = WStype_ERROR;
  switch (opcode) {
    case WSop_text:
      type = fin ? WStype_TEXT : WStype_FRAGMENT_TEXT_START;
      break;
    case WSop_binary:
      type = fin ? WStype_BIN : WStype_FRAGMENT_BIN_START;
      break;
    case WSop_continuation:
      type = fin ? WStype_FRAGMENT_FIN : WStype_FRAGMENT;
      break;
    case WSop_ping:
      type = WStype_PING;
      break;
    case WSop_pong:
      type = WStype_PONG;
      break;
    case WSop_close:
      break;
  }
  runCbEvent(client->num, type, payload, length);
}

void WebSocketsServerCore::handleNonWebsocketConnection(WSclient_t* client) {
  client->tcp->write(
      "HTTP/1.1 400 Bad Request\r\n"
      "Server: arduino-WebSocket-Server\r\n"
      "Content-Type: text/plain\r\n"
      "Content-Length: 32\r\n"
      "Connection: close\r\n"
      "Sec-WebSocket-Version: 13\r\n"
      "\r\n"
      "This is a Websocket server only!");
  clientDisconnect(client);
}

void WebSocketsServerCore::handleHeader(WSclient_t* client, String line) {
  line.trim();
  if (line.isEmpty()) {
    const bool good = client->cIsUpgrade && client->cIsWebsocket && !client->cUrl.isEmpty() &&
                      !client->cKey.isEmpty() && client->cVersion == 13;
    if (good) return welcome(client);
    return handleNonWebsocketConnection(client);
  }
  if (line.startsWith("GET ")) {
    client->cUrl = line.substring(4, static_cast<unsigned>(line.indexOf(' ', 4)));
    return;
  }
  const int colon = line.indexOf(':');
  if (colon < 0) return;
  const String name = line.substring(0, static_cast<unsigned>(colon));
  String value = line.substring(static_cast<unsigned>(colon) + 1);
  if (value.startsWith(" ")) value.remove(0, 1);
  if (name.equalsIgnoreCase("Connection")) {
    value.toLowerCase();
    if (value.indexOf("upgrade") >= 0) client->cIsUpgrade = true;
  } else if (name.equalsIgnoreCase("Upgrade")) {
    if (value.equalsIgnoreCase("websocket")) client->cIsWebsocket = true;
  } else if (name.equalsIgnoreCase("Sec-WebSocket-Version")) {
    client->cVersion = static_cast<uint16_t>(value.toInt());
  } else if (name.equalsIgnoreCase("Sec-WebSocket-Key")) {
    value.trim();
    client->cKey = value;
  } else if (name.equalsIgnoreCase("Sec-WebSocket-Protocol")) {
    client->cProtocol = value;
  } else if (name.equalsIgnoreCase("Authorization")) {
    client->base64Authorization = value;
  }
}

// Whatever sub-protocol was offered, its own is the answer.
void WebSocketsServerCore::welcome(WSclient_t* client) {
  String answer =
      "HTTP/1.1 101 Switching Protocols\r\n"
      "Server: arduino-WebSocketsServer\r\n"
      "Upgrade: websocket\r\n"
      "Connection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Accept: ";
  answer += accept_key(client->cKey) + "\r\n";
  if (!_origin.isEmpty()) answer += "Access-Control-Allow-Origin: " + _origin + "\r\n";
  if (!client->cProtocol.isEmpty()) answer += "Sec-WebSocket-Protocol: " + _protocol + "\r\n";
  answer += "\r\n";
  std::string bytes = answer.c_str();
  client->status = WSC_CONNECTED;
  write(client, reinterpret_cast<uint8_t*>(&bytes[0]), bytes.size());
  sendFrame(client, WSop_ping);
  std::string path = client->cUrl.c_str();
  runCbEvent(client->num, WStype_CONNECTED, reinterpret_cast<uint8_t*>(&path[0]), path.size());
}

void WebSocketsServerCore::handleHBPing(WSclient_t* client) {
  if (client->pingInterval == 0) return;
  if (static_cast<uint32_t>(millis()) - client->lastPing <= client->pingInterval) return;
  if (sendPing(client->num)) {
    client->lastPing = millis();
    client->pongReceived = false;
  }
}

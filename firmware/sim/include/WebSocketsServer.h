// A WebSocket server with the interface of Links2004's arduinoWebSockets 2.7.3, and with its ways:
// five slots, a header line or a frame begun is waited for, and everybody waits with it. Written
// from what that library does on the wire (facts and names), for tests; boards get the genuine one.
#pragma once

#include <Arduino.h>
#include <WiFi.h>

#include <functional>

#define WEBSOCKETS_SERVER_CLIENT_MAX 5
#define WEBSOCKETS_MAX_DATA_SIZE (15 * 1024)
#define WEBSOCKETS_MAX_HEADER_SIZE 14
#define WEBSOCKETS_TCP_TIMEOUT 5000

typedef enum { WSC_NOT_CONNECTED, WSC_HEADER, WSC_BODY, WSC_CONNECTED } WSclientsStatus_t;

typedef enum {
  WStype_ERROR,
  WStype_DISCONNECTED,
  WStype_CONNECTED,
  WStype_TEXT,
  WStype_BIN,
  WStype_FRAGMENT_TEXT_START,
  WStype_FRAGMENT_BIN_START,
  WStype_FRAGMENT,
  WStype_FRAGMENT_FIN,
  WStype_PING,
  WStype_PONG,
} WStype_t;

typedef enum {
  WSop_continuation = 0x0,
  WSop_text = 0x1,
  WSop_binary = 0x2,
  WSop_close = 0x8,
  WSop_ping = 0x9,
  WSop_pong = 0xA,
} WSopcode_t;

typedef struct {
  uint8_t num = 0;
  WSclientsStatus_t status = WSC_NOT_CONNECTED;
  WiFiClient* tcp = nullptr;

  // Of the handshake.
  String cUrl;
  bool cIsUpgrade = false;
  bool cIsWebsocket = false;
  String cKey;
  String cProtocol;
  uint16_t cVersion = 0;
  String base64Authorization;

  // Of the heartbeat. 0 for pingInterval: none.
  bool pongReceived = false;
  uint32_t pingInterval = 0;
  uint32_t lastPing = 0;
  uint32_t pongTimeout = 0;
  uint8_t disconnectTimeoutCount = 0;
  uint8_t pongTimeoutCount = 0;
} WSclient_t;

class WebSockets {
 public:
  virtual ~WebSockets() = default;

 protected:
  virtual void clientDisconnect(WSclient_t* client) = 0;
  virtual bool clientIsConnected(WSclient_t* client) = 0;
  virtual void messageReceived(WSclient_t* client, WSopcode_t opcode, uint8_t* payload,
                               size_t length, bool fin) = 0;
  // `reason`: the close frame's whole payload, its code included.
  void clientDisconnect(WSclient_t* client, uint16_t code, char* reason = nullptr,
                        size_t reasonLen = 0);
  bool sendFrame(WSclient_t* client, WSopcode_t opcode, uint8_t* payload = nullptr,
                 size_t length = 0, bool fin = true);
  void handleWebsocket(WSclient_t* client);
  virtual size_t write(WSclient_t* client, uint8_t* out, size_t n);
  void handleHBTimeout(WSclient_t* client);

 private:
  bool read(WSclient_t* client, uint8_t* out, size_t n);
};

class WebSocketsServerCore : protected WebSockets {
 public:
  typedef std::function<void(uint8_t num, WStype_t type, uint8_t* payload, size_t length)>
      WebSocketServerEvent;

  explicit WebSocketsServerCore(const String& origin = "", const String& protocol = "arduino")
      : _origin(origin), _protocol(protocol) {}
  ~WebSocketsServerCore() override;

  void begin();
  void close();
  void loop();
  void onEvent(WebSocketServerEvent cbEvent) { _cbEvent = cbEvent; }
  void enableHeartbeat(uint32_t pingInterval, uint32_t pongTimeout, uint8_t disconnectTimeoutCount);

  bool sendTXT(uint8_t num, const uint8_t* payload, size_t length = 0);
  bool sendTXT(uint8_t num, const char* payload, size_t length = 0) {
    return sendTXT(num, reinterpret_cast<const uint8_t*>(payload), length);
  }
  bool sendTXT(uint8_t num, String& payload) {
    return sendTXT(num, payload.c_str(), payload.length());
  }
  bool sendBIN(uint8_t num, const uint8_t* payload, size_t length);
  bool sendPing(uint8_t num, uint8_t* payload = nullptr, size_t length = 0);

  void disconnect();
  void disconnect(uint8_t num);
  bool clientIsConnected(uint8_t num);
  // The first free slot's, which deletes `TCPclient` in the end; nullptr if there is none.
  WSclient_t* newClient(WiFiClient* TCPclient);

 protected:
  using WebSockets::clientDisconnect;
  void clientDisconnect(WSclient_t* client) override;
  bool clientIsConnected(WSclient_t* client) override;
  void messageReceived(WSclient_t* client, WSopcode_t opcode, uint8_t* payload, size_t length,
                       bool fin) override;
  virtual void runCbEvent(uint8_t num, WStype_t type, uint8_t* payload, size_t length) {
    if (_cbEvent) _cbEvent(num, type, payload, length);
  }
  virtual void handleNonWebsocketConnection(WSclient_t* client);

  String _origin;
  String _protocol;
  WSclient_t _clients[WEBSOCKETS_SERVER_CLIENT_MAX];
  WebSocketServerEvent _cbEvent;
  bool _runnning = false;  // as it is spelled there
  uint32_t _pingInterval = 0;
  uint32_t _pongTimeout = 0;
  uint8_t _disconnectTimeoutCount = 0;

 private:
  void handleHeader(WSclient_t* client, String line);
  void welcome(WSclient_t* client);
  void handleHBPing(WSclient_t* client);
};

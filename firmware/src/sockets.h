// The WebSocket server: Links2004's library for the wire, our own door in front of it. Strangers
// wait in front of the door until their whole request is there, and never in one of the library's
// five slots.
#pragma once

#include <WebSocketsServer.h>
#include <WiFi.h>

#include <memory>
#include <vector>

#include "camcore/board.h"
#include "client.h"

class Sockets : private WebSocketsServerCore {
 public:
  Sockets(camcore::Board& board, uint16_t port);
  void begin();
  // One round: who came, who may come in, what was said, who is to leave.
  void loop();

 private:
  // One of the library's slots, as the core answers on it.
  class Slot : public camcore::Link {
   public:
    bool text(std::string_view message) override;
    bool binary(const uint8_t* data, size_t size) override;
    void close(uint16_t code, std::string_view reason) override;

    Sockets* server = nullptr;
    uint8_t number = 0;
    bool open = false;        // the core knows of it
    bool answering = false;   // something was sent in this round
    uint16_t close_code = 0;  // 0: it may stay
    std::string close_reason;

   private:
    bool ready();
  };

  // A connection outside the slots: on its way in, or out.
  struct Guest {
    std::unique_ptr<GatedClient> client;
    camcore::Micros since;
  };

  void accept();
  bool settled(Guest& guest);
  void turn_away(Guest& guest, const char* status, const char* why);
  void seat(std::unique_ptr<GatedClient> client);
  void listen();
  void part();
  void hang_up(uint8_t number, uint16_t code, std::string_view reason);
  void show_out(std::unique_ptr<GatedClient> client);

  GatedClient* client(uint8_t number);
  void runCbEvent(uint8_t number, WStype_t type, uint8_t* payload, size_t size) override;

  camcore::Board& board_;
  const uint16_t port_;
  WiFiServer server_;
  Slot slots_[WEBSOCKETS_SERVER_CLIENT_MAX];
  std::vector<Guest> waiting_;
  std::vector<Guest> leaving_;
};

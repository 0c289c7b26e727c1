// One TCP connection as the WebSocket library sees it. The library waits for the rest of whatever
// it has begun to read or write, and everybody else waits with it; so it gets to see nothing but
// whole handshakes and frames, and no write takes longer than it may.
#pragma once

#include <WiFi.h>

#include "camcore/gate.h"
#include "camcore/platform.h"

class GatedClient : public WiFiClient {
 public:
  explicit GatedClient(const WiFiClient& accepted) : WiFiClient(accepted) {}

  // Take in what has come, without waiting.
  void receive();
  // The same, and forget it: for one that is being shown out.
  void discard();
  const camcore::Gate& gate() const { return gate_; }

  // Whether it can still be written to. `connected()` stays true while there is something to read.
  bool alive() const { return alive_; }
  // Hand out no more requests, only pings, pongs and closes. Call it between two frames.
  void hold(bool hold);
  // All writes from now on share so much time; a client that takes longer is cut off.
  void allow(camcore::Micros time);
  // Hang up at once, whatever is still to be sent: with a reset where SO_LINGER is built in.
  void cut();
  // Send what is to be sent and then the end of it; the other side may go on.
  void finish();

  int available() override { return held_ ? 0 : static_cast<int>(gate_.whole()); }
  int read() override;
  int read(uint8_t* out, size_t size) override;
  int peek() override { return gate_.peek(); }
  uint8_t connected() override { return alive_ || available() > 0; }
  void stop() override;
  size_t write(uint8_t byte) override { return write(&byte, 1); }
  size_t write(const uint8_t* data, size_t size) override;
  using Print::write;

 private:
  bool wait_for_room();

  camcore::Gate gate_;
  camcore::Micros deadline_ = 0;
  bool alive_ = true;
  bool held_ = false;
};

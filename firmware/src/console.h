// The serial line: log lines out, Improv's packets in and out, and one word of a person's.
#pragma once

#include <string>

#include "camcore/board.h"
#include "camcore/improv.h"
#include "wifi_link.h"

class Console {
 public:
  Console(camcore::Board& board, camcore::WifiSupervisor& supervisor, WifiLink& wifi,
          camcore::Machine& machine)
      : board_(board), supervisor_(supervisor), wifi_(wifi), machine_(machine) {}

  // Who we are, why we started and, until it has a Wi-Fi, what this board's password is. Who holds
  // the cable could read the flash as well; but a log of every start would sooner or later be
  // posted somewhere, password and all.
  void begin();
  void loop();

 private:
  void hear(uint8_t byte);
  void obey(const camcore::ImprovCommand& command);
  void tell_error(camcore::ImprovError error);
  void tell_networks();
  void tell_state();
  void tell_password();

  camcore::Board& board_;
  camcore::WifiSupervisor& supervisor_;
  WifiLink& wifi_;
  camcore::Machine& machine_;
  camcore::ImprovReader improv_;
  bool in_error_ = false;  // was told an error, and none since that clears it
  std::string word_;       // what a person has typed of a line
  bool trying_ = false;
  bool scanning_ = false;
};

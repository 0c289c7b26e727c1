// The radio: does what camcore::WifiSupervisor says, and tells the network that we are here.
#pragma once

#include <optional>

#include "camcore/board.h"
#include "camcore/wifi.h"

class WifiLink {
 public:
  WifiLink(camcore::WifiSupervisor& supervisor, camcore::Board& board, camcore::Store& store,
           camcore::Machine& machine)
      : supervisor_(supervisor), board_(board), store_(store), machine_(machine) {}

  // Switch the radio on; nothing is connected yet.
  void begin();
  void loop();

  bool linked() const;
  // "http://192.0.2.7/", or "" while there is no network.
  std::string url() const;
  // How the credentials that were tried out turned out: nothing while they are tried. Told once.
  std::optional<bool> tried();

 private:
  void connect();
  void start_access_point();
  void announce();
  void keep_mdns();

  camcore::WifiSupervisor& supervisor_;
  camcore::Board& board_;
  camcore::Store& store_;
  camcore::Machine& machine_;
  std::optional<bool> tried_;
  uint32_t reconnects_ = 0;
  const char* announced_auth_ = nullptr;  // of the TXT record; nullptr: nothing was announced yet
};

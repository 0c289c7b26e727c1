// The chip: its clock, its noise, its health, its watchdog.
#pragma once

#include "camcore/board.h"
#include "camcore/platform.h"

class EspMachine : public camcore::Machine {
 public:
  // Have the chip restarted if `alive()` isn't called for WATCHDOG_SECONDS. Both in the loop's
  // task.
  void watch();
  void alive();

  camcore::Micros now() override;
  void random(uint8_t* out, size_t size) override;
  camcore::Health health() override;
  std::string reset_reason() override;
  void restart() override;
  void log(std::string_view line) override;
};

// Who this board is. Its name ends in the last half of its MAC address, so that two never clash.
camcore::Identity identity();

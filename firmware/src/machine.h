// The chip: its clock, its noise, its health, its watchdog.
#pragma once

#include "camcore/board.h"
#include "camcore/platform.h"

class EspMachine : public camcore::Machine {
 public:
  // Have the chip restarted if `tick()` isn't called for WATCHDOG_SECONDS. Call it in the loop's
  // task.
  void watch();
  // Once in a round of the loop.
  void tick();

  camcore::Micros now() override;
  void random(uint8_t* out, size_t size) override;
  camcore::Health health() override;
  std::string reset_reason() override;
  // In a moment: what was just answered still has to get out.
  void restart() override;
  void log(std::string_view line) override;

 private:
  camcore::Micros restart_at_ = 0;  // 0: no restart is wanted
};

// Who this board is. Its name ends in the last half of its MAC address, so that two never clash.
camcore::Identity identity();

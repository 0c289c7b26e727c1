// The flash LED, by PWM. How bright and for how long is up to camcore::Lamp.
#pragma once

#include "boards.h"
#include "camcore/platform.h"

class FlashLed : public camcore::Led {
 public:
  explicit FlashLed(const BoardPins& board) : pin_(board.flash) {}
  void begin();
  bool there() const override { return there_; }
  void set(int percent) override;

 private:
  const int8_t pin_;
  bool there_ = false;
};

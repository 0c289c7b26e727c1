// The flash, so that it can neither burn out its board nor stay on by mistake.
#pragma once

#include "camcore/platform.h"

namespace camcore {

constexpr Micros kMaxLit = 6 * kSecond;  // in one go, whatever else happens
constexpr int kMaxLitShare = 4;          // of any minute, at most one in so many is spent lit

class Lamp {
 public:
  explicit Lamp(Led& led) : led_(led) {}
  bool there() const { return led_.there(); }
  // False if it has been on for so long lately that it has to cool down; `rest` says how long.
  bool on(int percent, Micros now);
  void off(Micros now);
  bool lit() const { return lit_; }
  Micros since() const { return since_; }
  // Milliseconds until it may be lit again.
  int rest_ms(Micros now) const;
  // Call it in every round of the loop: it ends what lasts too long.
  void tick(Micros now);

 private:
  Led& led_;
  bool lit_ = false;
  Micros since_ = 0;
  Micros heat_ = 0;  // microseconds of light not yet cooled off, as of `updated_`
  Micros updated_ = 0;
};

}  // namespace camcore

// The flash, so that it can neither burn out its board nor stay on by mistake.
#pragma once

#include <array>

#include "camcore/platform.h"

namespace camcore {

// In one go, whatever else happens: two seconds to settle, two for frames, and four for a grab that
// nothing comes of, during which nobody can switch it off.
constexpr Micros kMaxLit = 8 * kSecond;
constexpr int kMaxLitShare = 4;  // of any minute, at most one in so many is spent lit

class Lamp {
 public:
  explicit Lamp(Led& led) : led_(led) {}
  bool there() const { return led_.there(); }
  // False if there is none, or if it has been on for so long lately that it has to cool down;
  // `rest_ms` says how long. Nothing changes if it is lit already.
  bool on(int percent, Micros now);
  void off(Micros now);
  bool lit() const { return lit_; }
  Micros since() const { return since_; }
  // Milliseconds until it may be lit again.
  int rest_ms(Micros now) const;
  // Call it in every round of the loop: it ends what lasts too long.
  void tick(Micros now);

 private:
  // Time is booked in slices. Twelve that are over and the current one hold any past minute.
  static constexpr Micros kSlice = 5 * kSecond;
  static constexpr int kSlices = 13;

  void book(Micros now);
  bool may_go_on() const;

  Led& led_;
  bool lit_ = false;
  Micros since_ = 0;
  std::array<Micros, kSlices> spent_ = {};  // lit in each slice, a ring
  Micros booked_ = 0;                       // up to here
};

}  // namespace camcore

#include "camcore/lamp.h"

#include <algorithm>
#include <numeric>

#include "camcore/settings.h"

namespace camcore {

constexpr Micros kMinute = 60 * kSecond;

bool Lamp::on(int percent, Micros now) {
  book(now);
  if (lit_) return true;
  if (!there() || !may_go_on()) return false;
  led_.set(std::clamp(percent, 1, kMaxFlashLevel));
  lit_ = true;
  since_ = now;
  return true;
}

void Lamp::off(Micros now) {
  book(now);
  if (!lit_) return;
  led_.set(0);
  lit_ = false;
}

void Lamp::tick(Micros now) {
  if (lit_ && now - since_ >= kMaxLit) off(now);
}

int Lamp::rest_ms(Micros now) const {
  Lamp later = *this;
  later.book(now);
  later.lit_ = false;
  while (!later.may_go_on()) later.book((later.booked_ / kSlice + 1) * kSlice);
  return static_cast<int>((later.booked_ - now + kMillisecond - 1) / kMillisecond);
}

void Lamp::book(Micros now) {
  if (now - booked_ > kSlices * kSlice) {  // everything is forgotten by then
    spent_.fill(lit_ ? kSlice : 0);
    booked_ = now;
  }
  while (booked_ < now) {
    const Micros slice = booked_ / kSlice;
    const Micros end = std::min(now, (slice + 1) * kSlice);
    if (lit_) spent_[slice % kSlices] += end - booked_;
    if (end % kSlice == 0) spent_[(slice + 1) % kSlices] = 0;
    booked_ = end;
  }
}

// Whether the minute that ends with one more go at full length is within its share.
bool Lamp::may_go_on() const {
  const Micros spent = std::accumulate(spent_.begin(), spent_.end(), Micros{0});
  return spent + kMaxLit <= kMinute / kMaxLitShare;
}

}  // namespace camcore

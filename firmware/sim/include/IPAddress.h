// An IPv4 address, as Arduino has it.
#pragma once

#include <cstdint>

#include "WString.h"

class IPAddress {
 public:
  IPAddress() = default;
  IPAddress(uint8_t a, uint8_t b, uint8_t c, uint8_t d) : bytes_{a, b, c, d} {}
  explicit IPAddress(uint32_t network_order);
  uint8_t operator[](int index) const { return bytes_[index]; }
  operator uint32_t() const;  // in the network's order
  String toString() const;
  bool fromString(const char* text);

 private:
  uint8_t bytes_[4] = {0, 0, 0, 0};
};

#include "led.h"

#include <Arduino.h>

namespace {

// The camera's clock has channel 0 and timer 0; channel 4 is on timer 2, of the ESP32's and of the
// ESP32-S3's eight alike.
constexpr uint8_t kChannel = 4;
constexpr uint32_t kHertz = 5000;  // no stripes in a picture: every row sees many periods
constexpr uint8_t kBits = 8;

}  // namespace

void FlashLed::begin() {
  if (pin_ < 0) return;
#if ESP_ARDUINO_VERSION_MAJOR >= 3
  there_ = ledcAttachChannel(pin_, kHertz, kBits, kChannel);
#else
  there_ = ledcSetup(kChannel, kHertz, kBits) > 0;
  ledcAttachPin(pin_, kChannel);
#endif
  set(0);
}

void FlashLed::set(int percent) {
  if (!there()) return;
  const uint32_t duty = percent * ((1 << kBits) - 1) / 100;
#if ESP_ARDUINO_VERSION_MAJOR >= 3
  ledcWrite(pin_, duty);
#else
  ledcWrite(kChannel, duty);
#endif
}

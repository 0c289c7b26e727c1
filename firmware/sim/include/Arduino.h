// The Arduino core, as far as the firmware needs it. ESP_ARDUINO_VERSION_MAJOR, from the build,
// says which of the two cores it is: where they differ only the chosen one's names are there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "IPAddress.h"
#include "Stream.h"
#include "WString.h"
#include "esp_err.h"
#include "esp_system.h"

#define ESP_ARDUINO_VERSION_VAL(major, minor, patch) ((major) << 16 | (minor) << 8 | (patch))
#define ESP_ARDUINO_VERSION ESP_ARDUINO_VERSION_VAL(ESP_ARDUINO_VERSION_MAJOR, 0, 0)

#define LOW 0x0
#define HIGH 0x1
#define INPUT 0x01
#define OUTPUT 0x03

// The board's loop has a task of its own; here it is the program's first thread.
#define SET_LOOP_TASK_STACK_SIZE(size) static_assert((size) >= 8192, "that is the default")

void setup();
void loop();

unsigned long millis();
unsigned long micros();
void delay(uint32_t ms);
void yield();

void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t value);

#if ESP_ARDUINO_VERSION_MAJOR >= 3
bool ledcAttachChannel(uint8_t pin, uint32_t hertz, uint8_t bits, uint8_t channel);
bool ledcWrite(uint8_t pin, uint32_t duty);
#else
uint32_t ledcSetup(uint8_t channel, uint32_t hertz, uint8_t bits);
void ledcAttachPin(uint8_t pin, uint8_t channel);
void ledcWrite(uint8_t channel, uint32_t duty);
#endif

bool psramFound();
void* ps_malloc(size_t size);

class EspClass {
 public:
  [[noreturn]] void restart();
  uint32_t getHeapSize();
  uint32_t getFreeHeap();
  uint32_t getMinFreeHeap();
  uint32_t getMaxAllocHeap();
  uint32_t getPsramSize();
  uint32_t getFreePsram();
  uint64_t getEfuseMac();
  const char* getChipModel() { return "ESP32"; }
};

extern EspClass ESP;

#include "machine.h"

#include <Arduino.h>
#include <WiFi.h>
#include <esp_system.h>
#include <esp_task_wdt.h>
#include <esp_timer.h>

#include "boards.h"
#include "defaults.h"

void EspMachine::watch() {
#if ESP_ARDUINO_VERSION_MAJOR >= 3
  esp_task_wdt_config_t config = {};
  config.timeout_ms = WATCHDOG_SECONDS * 1000;
  config.idle_core_mask = 0;  // an update's flash writing starves the idle tasks
  config.trigger_panic = true;
  esp_task_wdt_reconfigure(&config);
#else
  esp_task_wdt_init(WATCHDOG_SECONDS, true);
#endif
  esp_task_wdt_add(nullptr);
}

void EspMachine::alive() { esp_task_wdt_reset(); }

camcore::Micros EspMachine::now() { return esp_timer_get_time(); }

void EspMachine::random(uint8_t* out, size_t size) { esp_fill_random(out, size); }

camcore::Health EspMachine::health() {
  camcore::Health health;
  health.rssi = WiFi.status() == WL_CONNECTED ? WiFi.RSSI() : 0;
  health.heap = ESP.getFreeHeap();
  health.min_heap = ESP.getMinFreeHeap();
  health.largest_block = ESP.getMaxAllocHeap();
  health.psram_free = ESP.getFreePsram();
  return health;
}

std::string EspMachine::reset_reason() {
  switch (esp_reset_reason()) {
    case ESP_RST_POWERON:
      return "power_on";
    case ESP_RST_SW:
      return "software";
    case ESP_RST_PANIC:
      return "panic";
    case ESP_RST_INT_WDT:
    case ESP_RST_TASK_WDT:
    case ESP_RST_WDT:
      return "watchdog";
    case ESP_RST_BROWNOUT:
      return "brownout";
    case ESP_RST_DEEPSLEEP:
      return "deep_sleep";
    default:
      return "other";
  }
}

void EspMachine::restart() {
  Serial.flush();
  ESP.restart();
}

void EspMachine::log(std::string_view line) {
  Serial.printf("[%9.3f] %.*s\r\n", now() / 1e6, static_cast<int>(line.size()), line.data());
}

camcore::Identity identity() {
  const uint64_t mac = ESP.getEfuseMac();  // its first byte is the lowest
  char name[32];
  snprintf(name, sizeof name, "esp32cam-%02x%02x%02x", static_cast<unsigned>(mac >> 24 & 0xff),
           static_cast<unsigned>(mac >> 32 & 0xff), static_cast<unsigned>(mac >> 40 & 0xff));
  return {name, FIRMWARE_VERSION, kBoard.name, psramFound()};
}

// The chip: clock, pins, memory, noise, watchdog.
#include <Arduino.h>
#include <esp_task_wdt.h>
#include <esp_timer.h>
#include <sys/random.h>
#include <time.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "sim.h"

namespace sim {
namespace {

int64_t clock_of_pc() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * kSecond + time.tv_nsec / 1000;
}

std::mutex mutex;
std::condition_variable clock_jumped;
const int64_t start = clock_of_pc();
std::atomic<int64_t> jumped{0};

// A board with PSRAM on its Wi-Fi has about that much left.
std::atomic<uint32_t> heap_free{180'000};
std::atomic<uint32_t> heap_largest{110'000};
std::atomic<uint32_t> heap_least{180'000};
constexpr uint32_t kHeap = 320'000;
constexpr uint32_t kPsram = 4 * 1024 * 1024;
constexpr uint32_t kPsramUsed = 800'000;

// The light, latest change last; more of them than a frame's exposure can see.
struct Change {
  int64_t time;
  int percent;
};
constexpr size_t kChanges = 64;
std::deque<Change> light{{0, 0}};
int64_t lit_before = 0;  // how long, up to the latest change

int64_t lit_time() {
  return lit_before + (light.back().percent > 0 ? now() - light.back().time : 0);
}

std::atomic<bool> watched{false};
std::atomic<int> watchdog_seconds{0};  // 0: there is none
std::atomic<int> hanging_for{0};

}  // namespace

int64_t now() { return clock_of_pc() - start + jumped; }

void advance(int64_t time) {
  const std::lock_guard<std::mutex> lock(mutex);
  jumped += time;
  clock_jumped.notify_all();
}

void sleep_until(int64_t time) {
  std::unique_lock<std::mutex> lock(mutex);
  for (int64_t left; (left = time - now()) > 0;) {
    clock_jumped.wait_for(lock, std::chrono::microseconds(left));
  }
}

void set_heap(uint32_t free, uint32_t largest) {
  heap_free = free;
  heap_largest = largest;
  heap_least = std::min<uint32_t>(heap_least, free);
}

static void set_light(int percent) {
  const std::lock_guard<std::mutex> lock(mutex);
  lit_before = lit_time();
  light.push_back({now(), percent});
  if (light.size() > kChanges) light.pop_front();
}

bool was_lit(int64_t from, int64_t to) {
  const std::lock_guard<std::mutex> lock(mutex);
  bool lit = false;
  for (const Change& change : light) {
    if (change.time > to) break;
    if (change.time <= from) {
      lit = change.percent > 0;
    } else {
      lit = lit && change.percent > 0;
    }
  }
  return lit;
}

void watch() {
  if (watched && watchdog_seconds > 0 && ++hanging_for > watchdog_seconds) restart("watchdog");
}

void tell_chip(cJSON* state) {
  const std::lock_guard<std::mutex> lock(mutex);
  cJSON_AddNumberToObject(state, "clock", static_cast<double>(now()) / kMs);
  cJSON_AddNumberToObject(state, "restarts", boot.restarts);
  cJSON_AddStringToObject(state, "reset_reason", boot.reason.c_str());
  cJSON_AddNumberToObject(state, "led", light.back().percent);
  cJSON_AddNumberToObject(state, "lit_ms", static_cast<double>(lit_time() / kMs));
}

}  // namespace sim

int64_t esp_timer_get_time() { return sim::now(); }
unsigned long millis() { return static_cast<uint32_t>(sim::now() / sim::kMs); }
unsigned long micros() { return static_cast<uint32_t>(sim::now()); }
void delay(uint32_t ms) { sim::sleep_until(sim::now() + ms * sim::kMs); }
void yield() {}

void pinMode(uint8_t, uint8_t) {}
void digitalWrite(uint8_t, uint8_t) {}

// The flash is the only LED there is, and has as many steps as it was set up with.
static uint32_t full_duty = 255;

#if ESP_ARDUINO_VERSION_MAJOR >= 3
bool ledcAttachChannel(uint8_t, uint32_t, uint8_t bits, uint8_t) {
  full_duty = (1u << bits) - 1;
  return sim::options.led;
}

bool ledcWrite(uint8_t, uint32_t duty) {
  sim::set_light(static_cast<int>((duty * 100 + full_duty / 2) / full_duty));
  return true;
}
#else
uint32_t ledcSetup(uint8_t, uint32_t hertz, uint8_t bits) {
  full_duty = (1u << bits) - 1;
  return sim::options.led ? hertz : 0;
}

void ledcAttachPin(uint8_t, uint8_t) {}

void ledcWrite(uint8_t, uint32_t duty) {
  sim::set_light(static_cast<int>((duty * 100 + full_duty / 2) / full_duty));
}
#endif

EspClass ESP;

void EspClass::restart() { esp_restart(); }
uint32_t EspClass::getHeapSize() { return sim::kHeap; }
uint32_t EspClass::getFreeHeap() { return sim::heap_free; }
uint32_t EspClass::getMinFreeHeap() { return sim::heap_least; }
uint32_t EspClass::getMaxAllocHeap() { return sim::heap_largest; }
uint32_t EspClass::getPsramSize() { return psramFound() ? sim::kPsram : 0; }
uint32_t EspClass::getFreePsram() { return psramFound() ? sim::kPsram - sim::kPsramUsed : 0; }

uint64_t EspClass::getEfuseMac() {
  uint64_t mac = 0;
  unsigned bytes[6] = {};
  sscanf(sim::options.mac.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x", &bytes[0], &bytes[1], &bytes[2],
         &bytes[3], &bytes[4], &bytes[5]);
  for (int i = 5; i >= 0; --i) mac = mac << 8 | bytes[i];
  return mac;
}

bool psramFound() { return sim::options.psram; }
void* ps_malloc(size_t size) { return psramFound() ? malloc(size) : nullptr; }

uint32_t esp_random() {
  uint32_t number;
  esp_fill_random(&number, sizeof number);
  return number;
}

void esp_fill_random(void* out, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t got = getrandom(static_cast<char*>(out) + done, size - done, 0);
    if (got > 0) done += static_cast<size_t>(got);
  }
}

void esp_restart() { sim::restart("software"); }

esp_reset_reason_t esp_reset_reason() {
  constexpr std::pair<const char*, esp_reset_reason_t> kReasons[] = {
      {"power_on", ESP_RST_POWERON},  {"software", ESP_RST_SW},
      {"panic", ESP_RST_PANIC},       {"watchdog", ESP_RST_TASK_WDT},
      {"brownout", ESP_RST_BROWNOUT}, {"deep_sleep", ESP_RST_DEEPSLEEP},
  };
  for (const auto& [name, reason] : kReasons) {
    if (sim::boot.reason == name) return reason;
  }
  return ESP_RST_UNKNOWN;
}

#if ESP_ARDUINO_VERSION_MAJOR >= 3
esp_err_t esp_task_wdt_init(const esp_task_wdt_config_t* config) {
  return esp_task_wdt_reconfigure(config);
}

esp_err_t esp_task_wdt_reconfigure(const esp_task_wdt_config_t* config) {
  sim::watchdog_seconds = static_cast<int>(config->timeout_ms / 1000);
  return ESP_OK;
}
#else
esp_err_t esp_task_wdt_init(uint32_t timeout_s, bool) {
  sim::watchdog_seconds = static_cast<int>(timeout_s);
  return ESP_OK;
}
#endif

esp_err_t esp_task_wdt_add(TaskHandle_t) {
  sim::watched = true;
  return ESP_OK;
}

esp_err_t esp_task_wdt_reset() {
  sim::hanging_for = 0;
  return ESP_OK;
}

// New firmware: checked as Arduino's Update checks it, counted, and thrown away.
#include <Update.h>
#include <esp_ota_ops.h>

#include <atomic>

#include "sim.h"

namespace {

constexpr size_t kPartition = 0x1E0000;  // of min_spiffs.csv
constexpr uint8_t kMagic = 0xE9;

std::atomic<size_t> written{0};
std::atomic<bool> kept{false};

}  // namespace

UpdateClass Update;

bool UpdateClass::fail(const char* error) {
  error_ = error;
  running_ = false;
  return false;
}

bool UpdateClass::begin(size_t size, int) {
  error_ = nullptr;
  if (running_) return fail("Already Running");
  if (size == 0) return fail("Bad Size Given");
  if (size > kPartition && size != UPDATE_SIZE_UNKNOWN) return fail("Not Enough Space");
  running_ = true;
  size_ = size;
  progress_ = 0;
  written = 0;
  return true;
}

size_t UpdateClass::write(uint8_t* data, size_t size) {
  if (!running_ || hasError()) return 0;
  if (progress_ == 0 && size > 0 && data[0] != kMagic) return fail("Wrong Magic Byte"), 0;
  if (size > std::min(size_, kPartition) - progress_) return fail("Not Enough Space"), 0;
  progress_ += size;
  written = progress_;
  return size;
}

bool UpdateClass::end(bool even_if_remaining) {
  if (!running_ || hasError()) return false;
  if (progress_ < size_ && !even_if_remaining) return fail("Aborted");
  running_ = false;
  return true;
}

void UpdateClass::abort() {
  if (running_) fail("Aborted");
}

esp_err_t esp_ota_mark_app_valid_cancel_rollback() {
  kept = true;
  return ESP_OK;
}

void sim::tell_update(cJSON* state) {
  cJSON_AddNumberToObject(state, "update", static_cast<double>(written));
  cJSON_AddBoolToObject(state, "firmware_kept", kept);
}

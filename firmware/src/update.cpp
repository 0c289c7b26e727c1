#include "update.h"

#include <Update.h>
#include <esp_ota_ops.h>

#include <algorithm>
#include <vector>

// Both cores ask this before setup(), and would keep any firmware that comes as far as that.
extern "C" bool verifyRollbackLater() { return true; }

std::string write_firmware(size_t size, const std::string& first, const HttpHandler::Body& rest) {
  if (!Update.begin(size)) return Update.errorString();
  std::vector<uint8_t> chunk(2048);
  size_t got = std::min(first.size(), chunk.size());
  std::copy_n(first.begin(), got, chunk.begin());
  size_t written = 0;
  while (got > 0) {
    if (Update.write(chunk.data(), got) != got) {
      const std::string why = Update.errorString();
      Update.abort();
      return why;
    }
    written += got;
    got = written < size ? rest(chunk.data(), std::min(chunk.size(), size - written)) : 0;
  }
  if (written < size) {
    Update.abort();
    return "the connection ended after " + std::to_string(written) + " of " + std::to_string(size) +
           " bytes";
  }
  return Update.end() ? "" : Update.errorString();
}

void keep_this_firmware() {
  static bool kept = false;
  if (!kept) kept = esp_ota_mark_app_valid_cancel_rollback() == ESP_OK;
}

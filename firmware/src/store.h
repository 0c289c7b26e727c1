// What outlives a restart, in the flash's NVS partition.
#pragma once

#include <Preferences.h>

#include "camcore/platform.h"

class NvsStore : public camcore::Store {
 public:
  NvsStore() { nvs_.begin("esp32cam"); }
  bool load(const char* key, std::string& value) override;
  bool save(const char* key, const std::string& value) override;

 private:
  Preferences nvs_;
};

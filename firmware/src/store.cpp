#include "store.h"

bool NvsStore::load(const char* key, std::string& value) {
  if (!nvs_.isKey(key)) return false;  // getString() would log an error
  value = nvs_.getString(key).c_str();
  return true;
}

bool NvsStore::save(const char* key, const std::string& value) {
  return nvs_.putString(key, value.c_str()) == value.size();
}

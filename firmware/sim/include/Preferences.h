// Arduino's key and value store, in a file.
#pragma once

#include <Arduino.h>

class Preferences {
 public:
  bool begin(const char* name, bool read_only = false, const char* partition = nullptr);
  bool isKey(const char* key);
  String getString(const char* key, String otherwise = String());
  size_t putString(const char* key, const char* value);
  size_t putString(const char* key, String value) { return putString(key, value.c_str()); }

 private:
  std::string name_;
};

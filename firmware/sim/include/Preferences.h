// Arduino's key and value store, in a file.
#pragma once

#include <Arduino.h>

class Preferences {
 public:
  bool begin(const char* name, bool read_only = false, const char* partition = nullptr);
  void end() { name_.clear(); }
  bool clear();
  bool remove(const char* key);
  bool isKey(const char* key);
  String getString(const char* key, String otherwise = String());
  size_t putString(const char* key, const char* value);
  size_t putString(const char* key, String value) { return putString(key, value.c_str()); }

 private:
  std::string name_;
};

// Arduino's writer of new firmware. What it writes is checked for size and first byte, counted,
// and gone.
#pragma once

#include <Arduino.h>

#define UPDATE_SIZE_UNKNOWN 0xFFFFFFFF
#define U_FLASH 0

class UpdateClass {
 public:
  bool begin(size_t size = UPDATE_SIZE_UNKNOWN, int command = U_FLASH);
  size_t write(uint8_t* data, size_t size);
  bool end(bool even_if_remaining = false);
  void abort();
  bool isRunning() { return running_; }
  bool hasError() { return error_ != nullptr; }
  const char* errorString() { return error_ == nullptr ? "No Error" : error_; }
  size_t size() { return size_; }
  size_t progress() { return progress_; }

 private:
  bool fail(const char* error);

  bool running_ = false;
  size_t size_ = 0;
  size_t progress_ = 0;
  const char* error_ = nullptr;
};

extern UpdateClass Update;

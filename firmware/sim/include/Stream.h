// Arduino's byte streams: Print to write to, Stream to read from, Client and the serial line on
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "IPAddress.h"
#include "WString.h"

class Print {
 public:
  virtual ~Print() = default;
  virtual size_t write(uint8_t byte) = 0;
  virtual size_t write(const uint8_t* data, size_t size);
  size_t write(const char* text) {
    return text == nullptr ? 0 : write(reinterpret_cast<const uint8_t*>(text), strlen(text));
  }
  size_t write(const char* data, size_t size) {
    return write(reinterpret_cast<const uint8_t*>(data), size);
  }
  virtual void flush() {}

  size_t print(const char* text) { return write(text); }
  size_t print(const String& text) { return write(text.c_str(), text.length()); }
  size_t println(const char* text = "") { return print(text) + write("\r\n"); }
  size_t println(const String& text) { return print(text) + write("\r\n"); }
  size_t printf(const char* format, ...) __attribute__((format(printf, 2, 3)));
};

class Stream : public Print {
 public:
  virtual int available() = 0;
  virtual int read() = 0;
  virtual int peek() = 0;
  void setTimeout(unsigned long ms) { _timeout = ms; }
  unsigned long getTimeout() { return _timeout; }
  // Both wait for what is missing, until nothing has come for the time-out.
  virtual size_t readBytes(char* buffer, size_t size);
  String readStringUntil(char end);

 protected:
  int timedRead();
  unsigned long _timeout = 1000;
};

class Client : public Stream {
 public:
  size_t write(uint8_t byte) override = 0;
  size_t write(const uint8_t* data, size_t size) override = 0;
  using Print::write;
  int available() override = 0;
  int read() override = 0;
  virtual int read(uint8_t* buffer, size_t size) = 0;
  int peek() override = 0;
  void flush() override = 0;
  virtual void stop() = 0;
  virtual uint8_t connected() = 0;
  virtual operator bool() = 0;
};

class HardwareSerial : public Stream {
 public:
  void begin(unsigned long baud);
  void end() {}
  int available() override;
  int read() override;
  int peek() override;
  size_t write(uint8_t byte) override;
  size_t write(const uint8_t* data, size_t size) override;
  using Print::write;
  void flush() override;
  operator bool() const { return true; }
};

extern HardwareSerial Serial;

// Arduino's strings, addresses and streams.
#include <Arduino.h>
#include <arpa/inet.h>
#include <strings.h>

#include <cstdarg>
#include <vector>

bool String::equalsIgnoreCase(const String& other) const {
  return length() == other.length() && strcasecmp(c_str(), other.c_str()) == 0;
}

bool String::endsWith(const String& suffix) const {
  return length() >= suffix.length() &&
         text_.compare(length() - suffix.length(), std::string::npos, suffix.text_) == 0;
}

String String::substring(unsigned int begin, unsigned int end) const {
  if (begin > end) std::swap(begin, end);
  return begin < length() ? String(text_.substr(begin, end - begin)) : String();
}

void String::remove(unsigned int index, unsigned int count) {
  if (index < length()) text_.erase(index, count);
}

void String::toLowerCase() {
  for (char& c : text_) c = static_cast<char>(tolower(static_cast<unsigned char>(c)));
}

void String::trim() {
  const char* const kSpace = " \t\n\v\f\r";
  const size_t begin = text_.find_first_not_of(kSpace);
  text_ = begin == std::string::npos
              ? ""
              : text_.substr(begin, text_.find_last_not_of(kSpace) - begin + 1);
}

long String::toInt() const { return atol(c_str()); }

IPAddress::IPAddress(uint32_t network_order) { memcpy(bytes_, &network_order, sizeof bytes_); }

IPAddress::operator uint32_t() const {
  uint32_t network_order;
  memcpy(&network_order, bytes_, sizeof bytes_);
  return network_order;
}

String IPAddress::toString() const {
  char text[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, bytes_, text, sizeof text);
  return text;
}

bool IPAddress::fromString(const char* text) { return inet_pton(AF_INET, text, bytes_) == 1; }

size_t Print::write(const uint8_t* data, size_t size) {
  size_t written = 0;
  while (written < size && write(data[written]) == 1) ++written;
  return written;
}

size_t Print::printf(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char* text = nullptr;
  const int size = vasprintf(&text, format, arguments);
  va_end(arguments);
  if (size < 0) return 0;
  const size_t written = write(text, static_cast<size_t>(size));
  free(text);
  return written;
}

int Stream::timedRead() {
  const unsigned long start = millis();
  do {
    const int byte = read();
    if (byte >= 0) return byte;
    delay(1);
  } while (millis() - start < _timeout);
  return -1;
}

size_t Stream::readBytes(char* buffer, size_t size) {
  size_t count = 0;
  for (int byte; count < size && (byte = timedRead()) >= 0; ++count) {
    buffer[count] = static_cast<char>(byte);
  }
  return count;
}

String Stream::readStringUntil(char end) {
  std::string text;
  for (int byte; (byte = timedRead()) >= 0 && byte != end;) text += static_cast<char>(byte);
  return String(text);
}

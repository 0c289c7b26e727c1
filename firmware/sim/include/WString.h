// Arduino's String, as far as a board's program and the WebSocket library need it.
#pragma once

#include <cstdint>
#include <string>

class String {
 public:
  String(const char* text = "") : text_(text == nullptr ? "" : text) {}
  explicit String(const std::string& text) : text_(text) {}
  explicit String(char c) : text_(1, c) {}
  explicit String(int number) : text_(std::to_string(number)) {}
  explicit String(unsigned number) : text_(std::to_string(number)) {}
  explicit String(long number) : text_(std::to_string(number)) {}
  explicit String(unsigned long number) : text_(std::to_string(number)) {}

  const char* c_str() const { return text_.c_str(); }
  unsigned int length() const { return static_cast<unsigned>(text_.size()); }
  bool isEmpty() const { return text_.empty(); }
  bool reserve(unsigned int size) {
    text_.reserve(size);
    return true;
  }

  char charAt(unsigned int index) const { return index < text_.size() ? text_[index] : '\0'; }
  char operator[](unsigned int index) const { return charAt(index); }
  char& operator[](unsigned int index) { return text_[index]; }

  bool concat(const String& other) {
    text_ += other.text_;
    return true;
  }
  String& operator+=(const String& other) {
    text_ += other.text_;
    return *this;
  }
  String& operator+=(const char* other) {
    text_ += other == nullptr ? "" : other;
    return *this;
  }
  String& operator+=(char other) {
    text_ += other;
    return *this;
  }

  bool equals(const String& other) const { return text_ == other.text_; }
  bool operator==(const String& other) const { return text_ == other.text_; }
  bool operator==(const char* other) const { return text_ == (other == nullptr ? "" : other); }
  bool operator!=(const String& other) const { return text_ != other.text_; }
  bool equalsIgnoreCase(const String& other) const;
  bool startsWith(const String& prefix) const { return text_.rfind(prefix.text_, 0) == 0; }
  bool endsWith(const String& suffix) const;

  int indexOf(char c, unsigned int from = 0) const { return position(text_.find(c, from)); }
  int indexOf(const String& other, unsigned int from = 0) const {
    return position(text_.find(other.text_, from));
  }
  String substring(unsigned int begin) const { return substring(begin, length()); }
  String substring(unsigned int begin, unsigned int end) const;
  void remove(unsigned int index, unsigned int count);
  void toLowerCase();
  void trim();
  long toInt() const;

 private:
  static int position(size_t found) {
    return found == std::string::npos ? -1 : static_cast<int>(found);
  }

  std::string text_;
};

inline String operator+(String a, const String& b) { return a += b; }
inline String operator+(String a, const char* b) { return a += b; }
inline String operator+(const char* a, const String& b) { return String(a) += b; }

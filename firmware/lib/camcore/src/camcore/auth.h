// Proof of the key without sending it, and a page password that can't be guessed by trying.
#pragma once

#include <string>
#include <string_view>

#include "camcore/platform.h"

namespace camcore {

// HMAC-SHA256 in lower-case hex, by mbedtls.
std::string hmac_sha256_hex(std::string_view key, std::string_view message);

// Takes the same time wherever they differ.
bool same(std::string_view a, std::string_view b);

// 32 hex characters.
std::string make_nonce(Machine& machine);

// Tries at the page's password. After 5 wrong ones in a row each further try waits out a minute.
class PasswordGuard {
 public:
  enum class Answer { kRight, kWrong, kWait };
  Answer check(std::string_view shown, std::string_view right, Micros now);

 private:
  int wrong_ = 0;
  Micros until_ = 0;
};

}  // namespace camcore

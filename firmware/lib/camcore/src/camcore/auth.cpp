#include "camcore/auth.h"

#include <mbedtls/md.h>

namespace camcore {
namespace {

std::string hex(const uint8_t* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

const uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

}  // namespace

std::string hmac_sha256_hex(std::string_view key, std::string_view message) {
  uint8_t mac[32];
  const int failed = mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), bytes_of(key),
                                     key.size(), bytes_of(message), message.size(), mac);
  return failed != 0 ? std::string() : hex(mac, sizeof mac);
}

bool same(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;  // how long it is, is no secret
  volatile uint8_t differs = 0;
  for (size_t i = 0; i < a.size(); ++i) differs = differs | static_cast<uint8_t>(a[i] ^ b[i]);
  return differs == 0;
}

std::string make_nonce(Machine& machine) {
  uint8_t bytes[16];
  machine.random(bytes, sizeof bytes);
  return hex(bytes, sizeof bytes);
}

PasswordGuard::Answer PasswordGuard::check(std::string_view shown, std::string_view right,
                                           Micros now) {
  constexpr int kTries = 5;
  if (wrong_ >= kTries && now < until_) return Answer::kWait;
  if (!right.empty() && same(shown, right)) {
    wrong_ = 0;
    return Answer::kRight;
  }
  if (++wrong_ >= kTries) until_ = now + 60 * kSecond;
  return Answer::kWrong;
}

}  // namespace camcore

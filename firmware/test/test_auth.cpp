#include <doctest/doctest.h>

#include "camcore/auth.h"
#include "camcore/crc32.h"

using namespace camcore;

TEST_CASE("the proof is the one that everybody else computes") {
  // RFC 4231, test case 2.
  CHECK(hmac_sha256_hex("Jefe", "what do ya want for nothing?") ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST_CASE("the checksum is the one that everybody else computes") {
  // The check value of CRC-32/ISO-HDLC.
  CHECK(crc32(reinterpret_cast<const uint8_t*>("123456789"), 9) == 0xcbf43926);
  CHECK(crc32(nullptr, 0) == 0);
}

TEST_CASE("two texts are the same if all of them is") {
  CHECK(same("sesame", "sesame"));
  CHECK_FALSE(same("sesame", "sesamE"));
  CHECK_FALSE(same("sesame", "sesam"));
  CHECK_FALSE(same("", "s"));
}

TEST_CASE("after five wrong passwords a minute passes before the next is looked at") {
  PasswordGuard guard;
  using Answer = PasswordGuard::Answer;
  for (int i = 0; i < 5; ++i) CHECK(guard.check("wrong", "right", 0) == Answer::kWrong);
  CHECK(guard.check("right", "right", 60 * kSecond - 1) == Answer::kWait);
  CHECK(guard.check("right", "right", 60 * kSecond) == Answer::kRight);
  CHECK(guard.check("wrong", "right", 61 * kSecond) == Answer::kWrong);
  CHECK(guard.check("right", "right", 61 * kSecond) == Answer::kRight);
}

TEST_CASE("where there is no password, none is the right one") {
  PasswordGuard guard;
  CHECK(guard.check("", "", 0) == PasswordGuard::Answer::kWrong);
}

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "camcore/jpeg.h"

using namespace camcore;

namespace {

using Bytes = std::vector<uint8_t>;

Bytes photograph(const char* name) {
  const std::string here = __FILE__;
  const std::string path =
      here.substr(0, here.rfind('/')) + "/../../tests/data/" + std::string(name);
  std::ifstream file(path, std::ios::binary);
  INFO(path);
  REQUIRE(file.good());
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

// In memory of exactly its size, so that the sanitizer sees a byte read too much.
JpegLook look(const Bytes& bytes) {
  const auto exact = std::make_unique<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), exact.get());
  return look_at_jpeg(exact.get(), bytes.size());
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const Bytes kSoi = {0xFF, 0xD8};
const Bytes kDqt = {0xFF, 0xDB, 0, 5, 0, 1, 2};
const Bytes kSof = {0xFF, 0xC0, 0, 11, 8, 0, 120, 0, 160, 1, 1, 0x11, 0};  // 160x120, grey
const Bytes kScan = {0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0x34};
const Bytes kEoi = {0xFF, 0xD9};
const Bytes kTiny = kSoi + kDqt + kSof + kScan + kEoi;

std::string fault(const Bytes& bytes) {
  const JpegLook found = look(bytes);
  CHECK_FALSE(found.whole);
  return found.fault;
}

}  // namespace

TEST_CASE("photographs are whole, with their size") {
  struct {
    const char* name;
    int width, height;
  } const all[] = {{"vga.jpg", 640, 480},
                   {"svga.jpg", 800, 600},
                   {"uxga.jpg", 1600, 1200},
                   {"exif.jpg", 320, 240},  // not its thumbnail's
                   {"progressive.jpg", 451, 300}};
  for (const auto& one : all) {
    CAPTURE(one.name);
    const Bytes bytes = photograph(one.name);
    const JpegLook found = look(bytes);
    CHECK(found.whole);
    CHECK(found.size == bytes.size());
    CHECK(found.width == one.width);
    CHECK(found.height == one.height);
  }
}

TEST_CASE("zero bytes behind EOI are padding, anything else there is not") {
  const JpegLook padded = look(kTiny + Bytes(100, 0));
  CHECK(padded.whole);
  CHECK(padded.size == kTiny.size());
  CHECK(fault(kTiny + Bytes{0, 0, 1}) == "no EOI");
  CHECK(fault(kTiny + Bytes(4, 0xFF)) == "no EOI");
}

TEST_CASE("what does not begin with SOI is no JPEG") {
  CHECK(fault({}) == "no SOI");
  CHECK(fault({0xFF}) == "no SOI");
  CHECK(fault(Bytes(1000, 0)) == "no SOI");
  CHECK(fault(Bytes{0} + kTiny) == "no SOI");
  CHECK(std::string(look_at_jpeg(nullptr, 0).fault) == "no SOI");
}

TEST_CASE("a frame that ran over its buffer has no EOI") {
  CHECK(fault(kSoi) == "no EOI");
  CHECK(fault(kSoi + kDqt + kSof + kScan) == "no EOI");
  CHECK(fault({0xFF, 0xD8, 0xD9}) == "no EOI");
}

TEST_CASE("a picture has a size and a scan") {
  CHECK(fault(kSoi + kEoi) == "broken segment");
  CHECK(fault(kSoi + kDqt + kScan + kEoi) == "no size");
  CHECK(fault(kSoi + kDqt + kSof + kEoi) == "broken segment");
  Bytes flat = kTiny;
  flat[kSoi.size() + kDqt.size() + 6] = 0;  // a height of 0
  CHECK(fault(flat) == "no size");
  const Bytes empty(kScan.begin(), kScan.end() - 2);  // nothing between SOS and EOI
  CHECK(fault(kSoi + kSof + empty + kEoi) == "broken segment");
}

TEST_CASE("segments are walked by their lengths") {
  CHECK(look(kSoi + Bytes{0xFF, 0xFF, 0xFF} + kDqt + kSof + kScan + kEoi).whole);  // fill bytes
  CHECK(look(kSoi + Bytes{0xFF, 0xFE, 0, 2} + kSof + kScan + kEoi).whole);  // an empty comment
  CHECK(fault(kSoi + Bytes{0xFF, 0xFE, 0, 1} + kSof + kScan + kEoi) == "broken segment");
  CHECK(fault(kSoi + Bytes{0xFF, 0xFE, 0xFF, 0xFF} + kSof + kScan + kEoi) == "broken segment");
  CHECK(fault(kSoi + kDqt + Bytes{0} + kSof + kScan + kEoi) == "broken segment");
  CHECK(fault(kSoi + Bytes{0xFF, 0xD0} + kSof + kScan + kEoi) == "broken segment");  // RST0
  CHECK(fault(kSoi + kTiny) == "broken segment");  // one picture's beginning before another
  CHECK(fault(kSoi + kSof + kSof + kScan + kEoi) == "broken segment");
  CHECK(fault(kSoi + Bytes(3000, 0xFF) + kEoi) == "broken segment");
}

TEST_CASE("a picture that was cut off anywhere is not whole") {
  const Bytes bytes = photograph("exif.jpg");
  int whole = 0;
  for (size_t size = 0; size < bytes.size(); ++size) {
    // A thumbnail's EOI is one, too: at that point the segment around it is not complete.
    whole += look(Bytes(bytes.begin(), bytes.begin() + size)).whole ? 1 : 0;
  }
  CHECK(whole == 0);
}

TEST_CASE("nothing that a frame buffer may hold does harm") {
  const unsigned seed = 20261125;
  CAPTURE(seed);
  std::mt19937 random(seed);
  const Bytes header = [] {
    const Bytes all = photograph("vga.jpg");
    return Bytes(all.begin(), all.begin() + 700) + kEoi;
  }();
  int whole = 0;
  for (int i = 0; i < 100'000; ++i) {
    Bytes bytes = i % 2 == 0 ? header : kTiny;
    for (unsigned n = random() % 4; n > 0; --n) bytes[random() % bytes.size()] = random();
    if (random() % 4 == 0) bytes.resize(random() % (bytes.size() + 1));
    if (random() % 4 == 0) bytes.resize(bytes.size() + random() % 10);
    const JpegLook found = look(bytes);
    if (!found.whole) {
      REQUIRE(found.fault[0] != '\0');
      continue;
    }
    ++whole;
    REQUIRE(found.width > 0);
    REQUIRE(found.height > 0);
    REQUIRE(found.size <= bytes.size());
    REQUIRE(bytes[found.size - 2] == 0xFF);
    REQUIRE(bytes[found.size - 1] == 0xD9);
  }
  CHECK(whole > 10'000);
}

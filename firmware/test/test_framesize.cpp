#include <doctest/doctest.h>

#include <iterator>
#include <string>

#include "camcore/framesize.h"

using namespace camcore;

TEST_CASE("frame sizes stand in the order of their pixels") {
  int before = 0;
  for (const FrameSize& size : kFrameSizes) {
    CHECK(size.width * size.height > before);
    before = size.width * size.height;
  }
}

TEST_CASE("a frame size is found by its exact name") {
  REQUIRE(find_framesize("SVGA") != nullptr);
  CHECK(find_framesize("SVGA")->width == 800);
  CHECK(find_framesize("SVGA")->height == 600);
  CHECK(find_framesize("svga") == nullptr);
  CHECK(find_framesize("SVGA ") == nullptr);
  CHECK(find_framesize("SVG") == nullptr);
  CHECK(find_framesize("") == nullptr);
}

TEST_CASE("the sizes up to a sensor's largest are offered, and no others") {
  const auto sizes = framesizes_up_to("UXGA");
  REQUIRE(sizes.size() == 10);
  CHECK(std::string(sizes.front()->name) == "QQVGA");
  CHECK(std::string(sizes.back()->name) == "UXGA");
  CHECK(framesizes_up_to("QQVGA").size() == 1);
  CHECK(framesizes_up_to("QSXGA").size() == std::size(kFrameSizes));
  CHECK(framesizes_up_to("").empty());
}

TEST_CASE("a size that is too large for a sensor is made to fit") {
  CHECK(fitting(find_framesize("UXGA"), "SVGA") == find_framesize("SVGA"));
  CHECK(fitting(find_framesize("SVGA"), "SVGA") == find_framesize("SVGA"));
  CHECK(fitting(find_framesize("QVGA"), "SVGA") == find_framesize("QVGA"));
  CHECK(fitting(find_framesize("UXGA"), "") == find_framesize("UXGA"));
}

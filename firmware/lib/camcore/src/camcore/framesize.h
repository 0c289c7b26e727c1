// Frame sizes by name. The driver's numbers differ between its versions, so they stay in the shell.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace camcore {

struct FrameSize {
  const char* name;
  int width;
  int height;
};

// From the fewest pixels to the most. The driver's buffers go by that: whatever stands before the
// size that they were made for fits into them.
inline constexpr FrameSize kFrameSizes[] = {
    {"QQVGA", 160, 120},   {"QVGA", 320, 240},   {"CIF", 400, 296},   {"HVGA", 480, 320},
    {"VGA", 640, 480},     {"SVGA", 800, 600},   {"XGA", 1024, 768},  {"HD", 1280, 720},
    {"SXGA", 1280, 1024},  {"UXGA", 1600, 1200}, {"FHD", 1920, 1080}, {"QXGA", 2048, 1536},
    {"QSXGA", 2560, 1920},
};

// nullptr if there is none of that name; names are exact.
const FrameSize* find_framesize(std::string_view name);

// Those up to and including `largest`; none if there is no such name.
std::vector<const FrameSize*> framesizes_up_to(std::string_view largest);

// `size`, or `largest` where that is smaller.
const FrameSize* fitting(const FrameSize* size, std::string_view largest);

}  // namespace camcore

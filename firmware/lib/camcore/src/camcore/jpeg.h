// Whether a frame buffer holds one whole JPEG.
#pragma once

#include <cstddef>
#include <cstdint>

namespace camcore {

struct JpegLook {
  bool whole = false;
  const char* fault = "";  // "no SOI", "no EOI", "no size", "broken segment"
  size_t size = 0;         // up to and including EOI; what is behind it is padding
  int width = 0;           // from SOF
  int height = 0;
};

// Walks SOI and the segments up to SOS, and looks for EOI from the end backwards over padding.
JpegLook look_at_jpeg(const uint8_t* data, size_t size);

}  // namespace camcore

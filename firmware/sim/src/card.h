// The scene in front of the simulated camera: a test card that tells when it was seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace sim {

struct Exposure {
  int width;
  int height;
  int quality;  // the sensor's scale
  int brightness;
  int contrast;
  int saturation;
  bool vflip;
  bool hmirror;
  bool lit;
  uint32_t number;     // of the frame, since the start
  int64_t exposed_ms;  // when its first row began to be
};

struct FreeJpeg {
  void operator()(unsigned char* data) const;
};

struct Jpeg {
  std::unique_ptr<unsigned char, FreeJpeg> data;
  size_t size = 0;
};

// `name`: whose picture it is.
Jpeg take_picture(const Exposure& exposure, const std::string& name);

}  // namespace sim

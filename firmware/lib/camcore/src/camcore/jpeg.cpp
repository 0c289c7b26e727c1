#include "camcore/jpeg.h"

namespace camcore {
namespace {

constexpr uint8_t kSoi = 0xD8;
constexpr uint8_t kEoi = 0xD9;
constexpr uint8_t kSos = 0xDA;

bool is_sof(uint8_t code) {  // without DHT, JPG and DAC
  return code >= 0xC0 && code <= 0xCF && code != 0xC4 && code != 0xC8 && code != 0xCC;
}

bool is_table(uint8_t code) {  // DHT, DAC, DQT, DRI, APPn and COM
  return code == 0xC4 || code == 0xCC || code == 0xDB || code == 0xDD || code == 0xFE ||
         (code >= 0xE0 && code <= 0xEF);
}

// Behind EOI, or 0. What may be behind it are zero bytes, as the bridge has it: a frame with
// anything else there is one frame's beginning and another one's end.
size_t find_end(const uint8_t* data, size_t size) {
  while (size > 0 && data[size - 1] == 0) --size;
  return size >= 2 && data[size - 2] == 0xFF && data[size - 1] == kEoi ? size : 0;
}

}  // namespace

JpegLook look_at_jpeg(const uint8_t* data, size_t size) {
  JpegLook look;
  const auto faulty = [&look](const char* fault) {
    look.fault = fault;
    return look;
  };

  if (size < 2 || data[0] != 0xFF || data[1] != kSoi) return faulty("no SOI");
  look.size = find_end(data, size);
  if (look.size < 4) return faulty("no EOI");

  const size_t eoi = look.size - 2;
  size_t at = 2;
  while (eoi - at >= 4) {  // a marker and a length
    if (data[at] != 0xFF) break;
    const uint8_t code = data[at + 1];
    if (code == 0xFF) {  // any number of them may fill the way to a marker
      ++at;
      continue;
    }
    const uint8_t* segment = data + at + 2;  // from its length on
    const size_t length = segment[0] << 8 | segment[1];
    if (length < 2 || length > eoi - at - 2) break;
    const size_t behind = at + 2 + length;

    if (code == kSos) {
      if (look.width == 0) return faulty("no size");
      if (length != 6u + 2 * segment[2] || behind == eoi) break;
      look.whole = true;
      return look;
    }
    if (is_sof(code)) {
      if (look.width != 0 || length < 8 || length != 8u + 3 * segment[7]) break;
      look.height = segment[3] << 8 | segment[4];
      look.width = segment[5] << 8 | segment[6];
      if (look.width == 0 || look.height == 0) return faulty("no size");
    } else if (!is_table(code)) {
      break;  // what has no length has no place before SOS either
    }
    at = behind;
  }
  return faulty("broken segment");
}

}  // namespace camcore

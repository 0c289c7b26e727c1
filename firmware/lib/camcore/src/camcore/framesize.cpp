#include "camcore/framesize.h"

namespace camcore {

const FrameSize* find_framesize(std::string_view name) {
  for (const FrameSize& size : kFrameSizes) {
    if (name == size.name) return &size;
  }
  return nullptr;
}

std::vector<const FrameSize*> framesizes_up_to(std::string_view largest) {
  std::vector<const FrameSize*> sizes;
  const FrameSize* last = find_framesize(largest);
  if (last == nullptr) return sizes;
  for (const FrameSize& size : kFrameSizes) {
    if (size.width <= last->width && size.height <= last->height) sizes.push_back(&size);
  }
  return sizes;
}

}  // namespace camcore

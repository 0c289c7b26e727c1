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
  for (const FrameSize* size = kFrameSizes; last != nullptr && size <= last; ++size) {
    sizes.push_back(size);
  }
  return sizes;
}

const FrameSize* fitting(const FrameSize* size, std::string_view largest) {
  const FrameSize* last = find_framesize(largest);
  return last != nullptr && last < size ? last : size;
}

}  // namespace camcore

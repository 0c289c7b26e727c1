// The CRC-32 of zlib, PNG and Ethernet.
#pragma once

#include <cstddef>
#include <cstdint>

namespace camcore {

uint32_t crc32(const uint8_t* data, size_t size);

}  // namespace camcore

// The pins of each board; which one it is comes from the build, as -D BOARD_AI_THINKER.
#pragma once

#include <cstdint>

struct BoardPins {
  const char* name;  // in the hello
  const char* chip;  // as browsers' flashing tools call it
  int8_t xclk, siod, sioc;
  int8_t d7, d6, d5, d4, d3, d2, d1, d0;
  int8_t vsync, href, pclk;
  int8_t pwdn, reset;  // -1: not connected
  int8_t flash;        // a light for the scene; -1: none
  bool upside_down;    // how the module is mounted
};

// clang-format off
//                                                             D7  D6  D5  D4  D3  D2  D1  D0
constexpr BoardPins kAiThinker   {"ai-thinker",    "ESP32",    0, 26, 27, 35, 34, 39, 36, 21, 19, 18,  5, 25, 23, 22, 32, -1,  4, false};
constexpr BoardPins kWroverKit   {"wrover-kit",    "ESP32",   21, 26, 27, 35, 34, 39, 36, 19, 18,  5,  4, 25, 23, 22, -1, -1, -1, false};
constexpr BoardPins kM5Psram     {"m5-psram",      "ESP32",   27, 25, 23, 19, 36, 18, 39,  5, 34, 35, 32, 22, 26, 21, -1, 15, -1, false};
constexpr BoardPins kTJournal    {"t-journal",     "ESP32",   27, 25, 23, 19, 36, 18, 39,  5, 34, 35, 17, 22, 26, 21,  0, 15, -1, false};
constexpr BoardPins kEsp32s3Eye  {"esp32s3-eye",   "ESP32-S3", 15, 4,  5, 16, 17, 18, 12, 10,  8,  9, 11,  6,  7, 13, -1, -1, -1, true};
// Its LED on pin 21 says that the board is on, and is no light for a picture.
constexpr BoardPins kXiaoEsp32s3 {"xiao-esp32s3",  "ESP32-S3", 10, 40, 39, 48, 11, 12, 14, 16, 18, 17, 15, 38, 47, 13, -1, -1, -1, false};

#if defined(BOARD_AI_THINKER) + defined(BOARD_WROVER_KIT) + defined(BOARD_ESP32S3_EYE) + \
    defined(BOARD_XIAO_ESP32S3) + defined(BOARD_M5_PSRAM) + defined(BOARD_T_JOURNAL) != 1
#error "Say which board it is, one only: -D BOARD_AI_THINKER, BOARD_WROVER_KIT, BOARD_ESP32S3_EYE, BOARD_XIAO_ESP32S3, BOARD_M5_PSRAM or BOARD_T_JOURNAL"
// clang-format on
#elif defined(BOARD_AI_THINKER)
inline constexpr const BoardPins& kBoard = kAiThinker;
#elif defined(BOARD_WROVER_KIT)
inline constexpr const BoardPins& kBoard = kWroverKit;
#elif defined(BOARD_ESP32S3_EYE)
inline constexpr const BoardPins& kBoard = kEsp32s3Eye;
#elif defined(BOARD_XIAO_ESP32S3)
inline constexpr const BoardPins& kBoard = kXiaoEsp32s3;
#elif defined(BOARD_M5_PSRAM)
inline constexpr const BoardPins& kBoard = kM5Psram;
#elif defined(BOARD_T_JOURNAL)
inline constexpr const BoardPins& kBoard = kTJournal;
#endif

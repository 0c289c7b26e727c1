// ESP-IDF's clock: microseconds since the start.
#pragma once

#include <cstdint>

int64_t esp_timer_get_time();

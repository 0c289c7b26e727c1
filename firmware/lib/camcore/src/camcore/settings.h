// What can be set on a board, checked in one place, and kept over a restart.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "camcore/fault.h"
#include "camcore/framesize.h"
#include "camcore/platform.h"

struct cJSON;

namespace camcore {

class Writer;

constexpr int kMinQuality = 4;      // below, an OV2640 overflows its buffer on every busy scene
constexpr int kMaxQuality = 63;     // the sensor's scale: more is smaller and coarser
constexpr int kMaxFlashLevel = 80;  // percent: at full duty the LED overheats its board

struct Settings {
  const FrameSize* framesize = find_framesize("UXGA");
  int quality = 12;
  bool flash = false;    // with every capture that doesn't say otherwise
  int flash_level = 50;  // percent of full duty, 1 to kMaxFlashLevel
  bool vflip = false;
  bool hmirror = false;
  int brightness = 0;  // -2 to 2, and so the next two
  int contrast = 0;
  int saturation = 0;
  int xclk_mhz = 10;  // 6 to 20; 20 disturbs Wi-Fi on some boards (arduino-esp32 #5834)
};

bool operator==(const Settings& a, const Settings& b);

// Take over the keys of `object` that are known, all of them or, if there is a fault in one, none.
// Unknown keys are of a newer protocol than ours, and ignored.
//   largest: the largest frame size this camera has.
// bad_request or bad_framesize, and the detail names the key, what was expected and what came.
Outcome<Settings> changed(const Settings& now, const cJSON* object, std::string_view largest);

// One member of `object` into `value`, which stays as it is if there is none.
std::optional<Fault> read_flag(const cJSON* object, const char* key, bool& value);
std::optional<Fault> read_number(const cJSON* object, const char* key, int low, int high,
                                 int& value);
std::optional<Fault> read_framesize(const cJSON* object, std::string_view largest,
                                    const FrameSize*& value);

// All settings as members of the object that is being written.
void write(Writer& out, const Settings& settings);

// Settings as they were stored by this version or an older one; a stored value that is no longer
// valid is the default again, and one of a newer version is left alone as far as it is known.
Settings load_settings(Store& store);
bool save_settings(Store& store, const Settings& settings);

// What gives access to the board. Kept apart: it is never written anywhere but into the store.
struct Access {
  std::string password;       // of the page's changing half and of the fallback access point
  std::string key;            // of v1's authentication; empty: none is wanted
  bool allow_legacy = false;  // whether other paths than /v1 are open although there is a key
};

// The stored one. At the first start a password of 10 characters is made and stored.
Access load_access(Store& store, Machine& machine);
bool save_access(Store& store, const Access& access);

// bad_request: a password needs 8 to 63 printable ASCII characters (WPA2's rule), a key 0 to 64
// bytes.
Outcome<Access> changed(const Access& now, const cJSON* object);

}  // namespace camcore

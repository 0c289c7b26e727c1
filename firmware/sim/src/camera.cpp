// Espressif's camera driver as it behaves (esp_camera.c, cam_hal.c): when frames begin, which of
// them it keeps, and which it hands out. A frame is drawn only if it is handed out.
//
// A frame's rows are exposed one after another, over one frame period before its VSYNC and while
// it is read out after it; so the light has to be on for all of that.
#include <esp_camera.h>
#include <esp_timer.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <list>
#include <mutex>
#include <optional>

#include "card.h"
#include "machine.h"
#include "sim.h"

const resolution_info_t resolution[] = {
    {96, 96},     {160, 120},   {176, 144},   {240, 176},   {240, 240},  {320, 240},
    {400, 296},   {480, 320},   {640, 480},   {800, 600},   {1024, 768}, {1280, 720},
    {1280, 1024}, {1600, 1200}, {1920, 1080}, {720, 1280},  {864, 1536}, {2048, 1536},
    {2560, 1440}, {2560, 1600}, {1080, 1920}, {2560, 1920},
};

namespace {

using sim::kMs;
using sim::kSecond;

constexpr int64_t kTimeout = 4 * kSecond;  // FB_GET_TIMEOUT
constexpr int64_t kLook = 20 * kMs;        // how often a wait looks at the knobs
constexpr size_t kDram = 100'000;          // of one piece, without PSRAM

camera_sensor_info_t sensors[] = {
    {"OV2640", OV2640_PID, FRAMESIZE_UXGA},
    {"OV3660", OV3660_PID, FRAMESIZE_QXGA},
    {"OV5640", OV5640_PID, FRAMESIZE_QSXGA},
};

// A frame that the driver has, or is filling.
struct Taken {
  uint32_t number;
  int64_t vsync;
  camera_status_t status;
};

struct HandedOut {
  camera_fb_t buffer;
  sim::Jpeg jpeg;
};

struct Driver {
  camera_config_t config;
  sensor_t sensor;
  size_t buffer_size;
  int64_t next;  // the number of the VSYNC that was not looked at yet
  std::optional<Taken> filling;
  std::deque<Taken> full;
  std::list<HandedOut> out;
};

struct Failure {
  int times = 0;  // < 0: for ever
  std::string kind;
  int64_t wait = 0;
  int64_t since = 0;
};

std::mutex mutex;
std::optional<Driver> driver;
Failure failure;
int overflows_below = 0;
bool connected = true;
uint32_t handed_out = 0;

int64_t period() { return static_cast<int64_t>(kSecond / sim::options.fps); }
int64_t filled(const Taken& taken) { return taken.vsync + period() * 9 / 10; }

bool keeps_latest() {
  return driver->config.grab_mode == CAMERA_GRAB_LATEST && driver->config.fb_count > 1;
}

size_t free_buffers() { return driver->config.fb_count - driver->full.size() - driver->out.size(); }

void fill() {
  if (keeps_latest() && driver->full.size() == driver->config.fb_count - 1) {
    driver->full.pop_front();
  }
  driver->full.push_back(*driver->filling);
  driver->filling.reset();
}

// What the driver has done up to now, VSYNC by VSYNC.
void catch_up() {
  const int64_t time = sim::now();
  const int64_t last = time / period();
  for (;;) {
    if (driver->filling) {
      if (filled(*driver->filling) > time) return;
      fill();
    }
    driver->next = std::max(driver->next, int64_t{1});
    if (free_buffers() == 0) {
      driver->next = std::max(driver->next, last + 1);  // those passed by
    } else if (keeps_latest()) {
      // Of a long time only the end is left.
      driver->next =
          std::max(driver->next, last - 2 * static_cast<int64_t>(driver->config.fb_count));
    }
    if (driver->next > last || !connected) return;
    driver->filling =
        Taken{static_cast<uint32_t>(driver->next), driver->next * period(), driver->sensor.status};
    ++driver->next;
  }
}

bool overflown(const Taken& taken, size_t size) {
  return taken.status.quality < overflows_below || size > driver->buffer_size;
}

camera_fb_t* hand_out(const Taken& taken, bool failing) {
  const resolution_info_t& size = resolution[taken.status.framesize];
  const int64_t exposed = taken.vsync - period();
  sim::Jpeg jpeg =
      sim::take_picture({size.width, size.height, taken.status.quality, taken.status.brightness,
                         taken.status.contrast, taken.status.saturation, taken.status.vflip != 0,
                         taken.status.hmirror != 0, sim::was_lit(exposed, filled(taken)),
                         taken.number, exposed / kMs},
                        identity().name);
  int64_t vsync = taken.vsync;
  if (overflown(taken, jpeg.size)) {
    jpeg.size = std::min(jpeg.size * 4 / 5, driver->buffer_size);
  }
  if (failing && failure.kind == "noeoi") jpeg.size -= jpeg.size / 5;
  if (failing && failure.kind == "nosoi") memset(jpeg.data.get(), 0, 2);
  if (failing && failure.kind == "badtime") vsync = 0;
  // Later than the one before, and never later than it began to fail.
  if (failing && failure.kind == "stale") {
    vsync = failure.since / 2 + (taken.vsync - failure.since) / 1000;
  }

  driver->out.push_back({});
  HandedOut& handed = driver->out.back();
  // Width and height are what is set now, whatever the frame has: the driver's way.
  const resolution_info_t& told = resolution[driver->sensor.status.framesize];
  handed.buffer = {jpeg.data.get(), jpeg.size,      told.width,
                   told.height,     PIXFORMAT_JPEG, {vsync / kSecond, vsync % kSecond}};
  handed.jpeg = std::move(jpeg);
  ++handed_out;
  return &handed.buffer;
}

bool takes_failure() {
  if (failure.times == 0) return false;
  if (failure.times > 0) --failure.times;
  return true;
}

// A change is for the frames that begin after it.
template <typename Member>
int change(sensor_t* sensor, Member member, int value, int low, int high) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!driver || value < low || value > high) return -1;
  catch_up();
  sensor->status.*member = static_cast<std::decay_t<decltype(sensor->status.*member)>>(value);
  return 0;
}

const camera_sensor_info_t* info_of(uint16_t pid) {
  for (const camera_sensor_info_t& info : sensors) {
    if (info.pid == pid) return &info;
  }
  return nullptr;
}

sensor_t sensor_of(const camera_sensor_info_t& info) {
  sensor_t sensor = {};
  sensor.id.PID = static_cast<uint16_t>(info.pid);
  sensor.pixformat = PIXFORMAT_JPEG;
  using Status = camera_status_t;
  sensor.set_framesize = [](sensor_t* s, framesize_t size) {
    return change(s, &Status::framesize, size, 0, info_of(s->id.PID)->max_size);
  };
  sensor.set_quality = [](sensor_t* s, int value) {
    return change(s, &Status::quality, value, 0, 63);
  };
  sensor.set_brightness = [](sensor_t* s, int value) {
    return change(s, &Status::brightness, value, -2, 2);
  };
  sensor.set_contrast = [](sensor_t* s, int value) {
    return change(s, &Status::contrast, value, -2, 2);
  };
  sensor.set_saturation = [](sensor_t* s, int value) {
    return change(s, &Status::saturation, value, -2, 2);
  };
  sensor.set_vflip = [](sensor_t* s, int value) { return change(s, &Status::vflip, value, 0, 1); };
  sensor.set_hmirror = [](sensor_t* s, int value) {
    return change(s, &Status::hmirror, value, 0, 1);
  };
  sensor.set_xclk = [](sensor_t* s, int, int mhz) {
    s->xclk_freq_hz = mhz * 1'000'000;
    return 0;
  };
  return sensor;
}

}  // namespace

bool sim::fail(int times, const std::string& kind, int64_t wait) {
  constexpr const char* kKinds[] = {"null", "noeoi", "nosoi", "stale", "badtime"};
  if (std::find(std::begin(kKinds), std::end(kKinds), kind) == std::end(kKinds)) return false;
  const std::lock_guard<std::mutex> lock(mutex);
  failure = {times, kind, wait, now()};
  return true;
}

void sim::overflow_below(int quality) {
  const std::lock_guard<std::mutex> lock(mutex);
  overflows_below = quality;
}

void sim::connect_camera(bool is_connected) {
  const std::lock_guard<std::mutex> lock(mutex);
  connected = is_connected;
}

void sim::tell_camera(cJSON* state) {
  const std::lock_guard<std::mutex> lock(mutex);
  cJSON_AddBoolToObject(state, "camera", driver.has_value());
  cJSON_AddNumberToObject(state, "frames", driver ? static_cast<double>(driver->out.size()) : 0);
  cJSON_AddNumberToObject(state, "handed_out", handed_out);
}

esp_err_t esp_camera_init(const camera_config_t* config) {
  const std::lock_guard<std::mutex> lock(mutex);
  const camera_sensor_info_t* info = nullptr;
  for (const camera_sensor_info_t& known : sensors) {
    if (sim::options.sensor == known.name) info = &known;
  }
  if (driver) return ESP_ERR_INVALID_STATE;
  if (!connected) return ESP_ERR_CAMERA_NOT_DETECTED;
  Driver started = {*config, sensor_of(*info), 0, sim::now() / period() + 1, {}, {}, {}};
  const framesize_t largest = std::min(config->frame_size, info->max_size);
  started.buffer_size = size_t{resolution[largest].width} * resolution[largest].height / 5;
  const bool in_psram = config->fb_location == CAMERA_FB_IN_PSRAM;
  if (in_psram ? !sim::options.psram : started.buffer_size * config->fb_count > kDram) {
    return ESP_ERR_NO_MEM;
  }
  started.sensor.status.framesize = largest;
  started.sensor.status.quality = static_cast<uint8_t>(config->jpeg_quality);
  driver = std::move(started);
  return ESP_OK;
}

esp_err_t esp_camera_deinit() {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!driver) return ESP_ERR_INVALID_STATE;
  driver.reset();
  return ESP_OK;
}

camera_fb_t* esp_camera_fb_get() {
  std::unique_lock<std::mutex> lock(mutex);
  if (!driver) return nullptr;
  int64_t until = sim::now() + kTimeout;
  const bool failing = takes_failure();
  const bool nothing = failing && failure.kind == "null";
  if (nothing) until = sim::now() + failure.wait;
  for (;;) {
    catch_up();
    if (!nothing && !driver->full.empty()) {
      const Taken taken = driver->full.front();
      driver->full.pop_front();
      return hand_out(taken, failing);
    }
    const int64_t time = sim::now();
    if (time >= until) return nullptr;
    int64_t wake = std::min(until, time + kLook);
    if (driver->filling) wake = std::min(wake, filled(*driver->filling));
    lock.unlock();
    sim::sleep_until(wake);
    lock.lock();
  }
}

void esp_camera_fb_return(camera_fb_t* fb) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!driver) return;
  catch_up();
  driver->out.remove_if([&](const HandedOut& handed) { return &handed.buffer == fb; });
}

sensor_t* esp_camera_sensor_get() { return driver ? &driver->sensor : nullptr; }

camera_sensor_info_t* esp_camera_sensor_get_info(sensor_id_t* id) {
  return const_cast<camera_sensor_info_t*>(info_of(id->PID));
}

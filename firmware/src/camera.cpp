#include "camera.h"

#include <Arduino.h>

#include <algorithm>
#include <cstring>

namespace {

struct DriverSize {
  const char* name;
  framesize_t number;  // differs between versions of the driver
};

constexpr DriverSize kSizes[] = {
    {"QQVGA", FRAMESIZE_QQVGA}, {"QVGA", FRAMESIZE_QVGA}, {"CIF", FRAMESIZE_CIF},
    {"HVGA", FRAMESIZE_HVGA},   {"VGA", FRAMESIZE_VGA},   {"SVGA", FRAMESIZE_SVGA},
    {"XGA", FRAMESIZE_XGA},     {"HD", FRAMESIZE_HD},     {"SXGA", FRAMESIZE_SXGA},
    {"UXGA", FRAMESIZE_UXGA},   {"FHD", FRAMESIZE_FHD},   {"QXGA", FRAMESIZE_QXGA},
    {"QSXGA", FRAMESIZE_QSXGA},
};

// The largest size a sensor may later be switched to is the one it was set up for, so the first of
// these that there is memory for is taken. The driver cuts a size down to what the sensor has.
constexpr framesize_t kWithPsram[] = {FRAMESIZE_QSXGA, FRAMESIZE_UXGA, FRAMESIZE_SVGA};
// A buffer is width x height / 5 bytes in one piece, of some 100,000 that there are.
constexpr framesize_t kWithoutPsram[] = {FRAMESIZE_SVGA, FRAMESIZE_CIF, FRAMESIZE_QVGA};

constexpr int kTries = 3;
constexpr uint32_t kPowerMs = 100;  // off, and on again, before it is spoken to

framesize_t number_of(const char* name) {
  for (const DriverSize& size : kSizes) {
    if (strcmp(size.name, name) == 0) return size.number;
  }
  return FRAMESIZE_QVGA;
}

const char* largest_up_to(framesize_t limit) {
  const char* name = kSizes[0].name;
  for (const DriverSize& size : kSizes) {
    if (size.number <= limit) name = size.name;
  }
  return name;
}

void give_back(void* buffer) { esp_camera_fb_return(static_cast<camera_fb_t*>(buffer)); }

}  // namespace

bool DriverSensor::begin() { return set_up(kTries); }

void DriverSensor::stop() {
  if (ready_) esp_camera_deinit();
  ready_ = false;
  stopped_ = true;
  fault_ = "it was stopped for an update";
}

std::string DriverSensor::largest() const { return largest_; }

bool DriverSensor::restart() {
  if (stopped_) return false;
  if (ready_) esp_camera_deinit();
  return set_up(1);
}

bool DriverSensor::set_up(int tries) {
  ready_ = false;
  applied_.reset();
  camera_config_t config = wiring();
  const bool psram = psramFound();
  config.fb_location = psram ? CAMERA_FB_IN_PSRAM : CAMERA_FB_IN_DRAM;
  config.fb_count = psram ? 2 : 1;
  // Asked for the latest of one buffer, drivers have hung (esp32-camera #417).
  config.grab_mode = psram ? CAMERA_GRAB_LATEST : CAMERA_GRAB_WHEN_EMPTY;

  esp_err_t error = ESP_FAIL;
  for (int i = 0; i < tries && !ready_; ++i) {
    cycle_power();
    for (const framesize_t size : psram ? kWithPsram : kWithoutPsram) {
      config.frame_size = size;
      error = esp_camera_init(&config);
      ready_ = error == ESP_OK;
      // No smaller picture makes a camera appear.
      if (ready_ || error == ESP_ERR_CAMERA_NOT_DETECTED) break;
    }
  }
  if (!ready_) {
    char why[80];
    snprintf(why, sizeof why, "it was not found or not set up (error 0x%x): check its cable",
             static_cast<unsigned>(error));
    fault_ = why;
    return false;
  }

  sensor_t* sensor = esp_camera_sensor_get();
  const camera_sensor_info_t* info = esp_camera_sensor_get_info(&sensor->id);
  model_ = info != nullptr ? info->name : "unknown";
  largest_ = largest_up_to(info != nullptr ? std::min(config.frame_size, info->max_size)
                                           : config.frame_size);
  buffers_ = static_cast<int>(config.fb_count);
  fault_.clear();
  return true;
}

// After a reset without a loss of power some cameras don't answer until theirs was cut
// (esp32-camera #103, #271).
void DriverSensor::cycle_power() {
  if (board_.pwdn < 0) return;
  pinMode(board_.pwdn, OUTPUT);
  digitalWrite(board_.pwdn, HIGH);
  delay(kPowerMs);
  digitalWrite(board_.pwdn, LOW);
  delay(kPowerMs);
}

camera_config_t DriverSensor::wiring() const {
  camera_config_t config = {};
  config.pin_pwdn = board_.pwdn;
  config.pin_reset = board_.reset;
  config.pin_xclk = board_.xclk;
  config.pin_sccb_sda = board_.siod;
  config.pin_sccb_scl = board_.sioc;
  config.pin_d7 = board_.d7;
  config.pin_d6 = board_.d6;
  config.pin_d5 = board_.d5;
  config.pin_d4 = board_.d4;
  config.pin_d3 = board_.d3;
  config.pin_d2 = board_.d2;
  config.pin_d1 = board_.d1;
  config.pin_d0 = board_.d0;
  config.pin_vsync = board_.vsync;
  config.pin_href = board_.href;
  config.pin_pclk = board_.pclk;
  config.xclk_freq_hz = xclk_mhz_ * 1000000;
  config.ledc_timer = LEDC_TIMER_0;
  config.ledc_channel = LEDC_CHANNEL_0;
  config.pixel_format = PIXFORMAT_JPEG;
  config.jpeg_quality = camcore::Settings().quality;
  return config;
}

bool DriverSensor::apply(const camcore::Settings& settings) {
  sensor_t* sensor = esp_camera_sensor_get();
  if (!ready_ || sensor == nullptr) return false;

  bool done = true;
  const auto differs = [&](auto member) {
    return !applied_ || (*applied_).*member != settings.*member;
  };
  const auto set = [&](auto member, int (*setter)(sensor_t*, int), int value) {
    if (differs(member) && setter != nullptr) done &= setter(sensor, value) == 0;
  };
  using camcore::Settings;
  // An OV3660 comes up upside down, dark and gaudy next to an OV2640 (as Espressif's own example
  // has it).
  const bool ov3660 = sensor->id.PID == OV3660_PID;
  const int brighter = ov3660 ? 1 : 0;
  const int paler = ov3660 ? 2 : 0;
  const bool turned = ov3660 != board_.upside_down;

  if (differs(&Settings::xclk_mhz) && sensor->set_xclk != nullptr) {
    done &= sensor->set_xclk(sensor, LEDC_TIMER_0, settings.xclk_mhz) == 0;
    xclk_mhz_ = settings.xclk_mhz;
  }
  if (differs(&Settings::framesize)) {
    const framesize_t size = std::min(number_of(settings.framesize->name), number_of(largest_));
    done &= sensor->set_framesize(sensor, size) == 0;
  }
  set(&Settings::quality, sensor->set_quality, settings.quality);
  set(&Settings::vflip, sensor->set_vflip, settings.vflip != turned);
  set(&Settings::hmirror, sensor->set_hmirror, settings.hmirror);
  set(&Settings::brightness, sensor->set_brightness, std::min(settings.brightness + brighter, 2));
  set(&Settings::contrast, sensor->set_contrast, settings.contrast);
  set(&Settings::saturation, sensor->set_saturation, std::max(settings.saturation - paler, -2));

  if (done) {
    applied_ = settings;
  } else {
    applied_.reset();
  }
  return done;
}

camcore::Frame DriverSensor::grab() {
  if (!ready_) return {};
  camera_fb_t* buffer = esp_camera_fb_get();
  if (buffer == nullptr) return {};
  const camcore::Micros started =
      buffer->timestamp.tv_sec * camcore::kSecond + buffer->timestamp.tv_usec;
  return camcore::Frame(buffer->buf, buffer->len, started, buffer, give_back);
}

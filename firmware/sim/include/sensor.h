// Espressif's camera driver: what can be set on a sensor.
#pragma once

#include <cstdint>

typedef enum { OV2640_PID = 0x26, OV3660_PID = 0x3660, OV5640_PID = 0x5640 } camera_pid_t;

typedef enum {
  PIXFORMAT_RGB565,
  PIXFORMAT_YUV422,
  PIXFORMAT_GRAYSCALE = 3,
  PIXFORMAT_JPEG
} pixformat_t;

// Their numbers differ between versions of the driver, so nothing may depend on them.
typedef enum {
  FRAMESIZE_96X96,
  FRAMESIZE_QQVGA,
  FRAMESIZE_QCIF,
  FRAMESIZE_HQVGA,
  FRAMESIZE_240X240,
  FRAMESIZE_QVGA,
  FRAMESIZE_CIF,
  FRAMESIZE_HVGA,
  FRAMESIZE_VGA,
  FRAMESIZE_SVGA,
  FRAMESIZE_XGA,
  FRAMESIZE_HD,
  FRAMESIZE_SXGA,
  FRAMESIZE_UXGA,
  FRAMESIZE_FHD,
  FRAMESIZE_P_HD,
  FRAMESIZE_P_3MP,
  FRAMESIZE_QXGA,
  FRAMESIZE_QHD,
  FRAMESIZE_WQXGA,
  FRAMESIZE_P_FHD,
  FRAMESIZE_QSXGA,
  FRAMESIZE_INVALID
} framesize_t;

typedef struct {
  const uint16_t width;
  const uint16_t height;
} resolution_info_t;

extern const resolution_info_t resolution[];

typedef struct {
  const char* name;
  const camera_pid_t pid;
  const framesize_t max_size;
} camera_sensor_info_t;

typedef struct {
  uint8_t MIDH;
  uint8_t MIDL;
  uint16_t PID;
  uint8_t VER;
} sensor_id_t;

typedef struct {
  framesize_t framesize;
  uint8_t quality;
  int8_t brightness;
  int8_t contrast;
  int8_t saturation;
  uint8_t hmirror;
  uint8_t vflip;
} camera_status_t;

typedef struct _sensor sensor_t;
struct _sensor {
  sensor_id_t id;
  pixformat_t pixformat;
  camera_status_t status;
  int xclk_freq_hz;

  int (*set_framesize)(sensor_t* sensor, framesize_t framesize);
  int (*set_contrast)(sensor_t* sensor, int level);
  int (*set_brightness)(sensor_t* sensor, int level);
  int (*set_saturation)(sensor_t* sensor, int level);
  int (*set_quality)(sensor_t* sensor, int quality);
  int (*set_hmirror)(sensor_t* sensor, int enable);
  int (*set_vflip)(sensor_t* sensor, int enable);
  int (*set_xclk)(sensor_t* sensor, int timer, int xclk);
};

extern "C" camera_sensor_info_t* esp_camera_sensor_get_info(sensor_id_t* id);

// The camera, by Espressif's driver. All of it in the loop's task: two tasks at one camera corrupt
// frames, or crash.
#pragma once

#include <esp_camera.h>

#include <optional>

#include "boards.h"
#include "camcore/settings.h"

class DriverSensor : public camcore::Sensor {
 public:
  explicit DriverSensor(const BoardPins& board) : board_(board) {}

  // Set it up, three tries; then a board without a camera still is on the network, and says so.
  bool begin();
  // Give its memory and interrupts back, until the next start of the board.
  void stop();

  bool ready() const override { return ready_; }
  std::string fault() const override { return fault_; }
  std::string model() const override { return model_; }
  std::string largest() const override;
  int buffers() const override { return buffers_; }
  bool apply(const camcore::Settings& settings) override;
  camcore::Frame grab() override;
  bool restart() override;

 private:
  bool set_up(int tries);
  void cycle_power();
  camera_config_t wiring() const;

  const BoardPins& board_;
  bool ready_ = false;
  bool stopped_ = false;
  std::string fault_ = "it was not set up yet";
  std::string model_;
  const char* largest_ = "";
  int buffers_ = 1;
  int xclk_mhz_ = camcore::Settings().xclk_mhz;
  std::optional<camcore::Settings> applied_;  // nothing: unknown
};

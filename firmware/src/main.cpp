// An ESP32-CAM that takes still pictures for whoever asks: over WebSocket on port 81, over HTTP
// on 80.
#include <Arduino.h>

#include "boards.h"
#include "camcore/board.h"
#include "camcore/http.h"
#include "camcore/wifi.h"
#include "camera.h"
#include "console.h"
#include "defaults.h"
#include "desk.h"
#include "led.h"
#include "machine.h"
#include "sockets.h"
#include "store.h"
#include "wifi_link.h"

SET_LOOP_TASK_STACK_SIZE(16 * 1024);  // 8 KiB leave little to cJSON and mbedTLS

namespace {

std::optional<camcore::Credentials> stored_credentials(camcore::Store& store) {
  camcore::Credentials credentials;
  if (!camcore::load_credentials(store, credentials)) return {};
  return credentials;
}

struct App {
  EspMachine machine;
  NvsStore store;
  DriverSensor camera{kBoard};
  FlashLed led{kBoard};
  camcore::Board board{camera, led, store, machine, identity()};
  camcore::WifiSupervisor supervisor{stored_credentials(store)};
  WifiLink wifi{supervisor, board, store, machine};
  Console console{board, supervisor, wifi, machine};
  camcore::Page page{board, supervisor, machine};
  Desk desk{page, camera};
  Sockets sockets{board, WEBSOCKET_PORT};
};

App* app;

}  // namespace

void setup() {
  Serial.begin(115200);
#if ARDUINO_USB_CDC_ON_BOOT && ARDUINO_USB_MODE
  Serial.setTxTimeoutMs(0);  // nobody may be listening at a USB port of the chip's own
#endif
  app = new App;
  app->led.begin();
  app->camera.begin();  // it wants the largest piece of memory, so it comes first
  app->wifi.begin();    // from here on, random numbers are random
  app->board.begin();
  app->console.begin();
  if (!app->camera.ready()) app->machine.log("no camera: " + app->camera.fault());
  app->sockets.begin();
  if (!start_http_server(app->desk, HTTP_PORT)) app->machine.log("no page: HTTP did not start");
  app->machine.watch();
}

void loop() {
  app->wifi.loop();
  app->console.loop();
  app->desk.serve();
  app->sockets.loop();
  app->board.loop();
  app->machine.alive();
  delay(1);  // the chip rests meanwhile
}

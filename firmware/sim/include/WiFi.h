// Arduino's Wi-Fi: the radio, and TCP over it.
#pragma once

#include <Arduino.h>
#include <lwip/sockets.h>

#include <memory>

typedef enum { WIFI_MODE_NULL, WIFI_MODE_STA, WIFI_MODE_AP, WIFI_MODE_APSTA } wifi_mode_t;
#define WIFI_OFF WIFI_MODE_NULL
#define WIFI_STA WIFI_MODE_STA
#define WIFI_AP WIFI_MODE_AP
#define WIFI_AP_STA WIFI_MODE_APSTA

typedef enum {
  WL_IDLE_STATUS = 0,
  WL_NO_SSID_AVAIL = 1,
  WL_SCAN_COMPLETED = 2,
  WL_CONNECTED = 3,
  WL_CONNECT_FAILED = 4,
  WL_CONNECTION_LOST = 5,
  WL_DISCONNECTED = 6
} wl_status_t;

typedef enum {
  WIFI_AUTH_OPEN,
  WIFI_AUTH_WEP,
  WIFI_AUTH_WPA_PSK,
  WIFI_AUTH_WPA2_PSK
} wifi_auth_mode_t;
typedef enum { WIFI_FAST_SCAN, WIFI_ALL_CHANNEL_SCAN } wifi_scan_method_t;

#define WIFI_SCAN_RUNNING (-1)
#define WIFI_SCAN_FAILED (-2)

class WiFiClient : public Client {
 public:
  WiFiClient() = default;
  explicit WiFiClient(int fd);

  size_t write(uint8_t byte) override { return write(&byte, 1); }
  // Ten tries of a second each, as the board's; what was sent by then stays sent.
  size_t write(const uint8_t* data, size_t size) override;
  using Print::write;
  int available() override;
  int read() override;
  int read(uint8_t* buffer, size_t size) override;
  int peek() override;
  void flush() override {}
  void stop() override;
  uint8_t connected() override;
  operator bool() override { return connected(); }

  virtual int fd() const;
  int setNoDelay(bool no_delay);
  IPAddress remoteIP() const;
  uint16_t remotePort() const;

 private:
  class Socket;
  std::shared_ptr<Socket> socket_;
};

class WiFiServer {
 public:
  explicit WiFiServer(uint16_t port = 80, uint8_t max_clients = 4) : port_(port) {
    (void)max_clients;
  }
  void begin(uint16_t port = 0);
  void setNoDelay(bool no_delay) { no_delay_ = no_delay; }
  bool hasClient();
  WiFiClient accept();
  void end();

 private:
  uint16_t port_;
  bool no_delay_ = false;
  int accepted_ = -1;
};

class WiFiClass {
 public:
  void persistent(bool persistent) { (void)persistent; }
  bool mode(wifi_mode_t mode);
  wifi_mode_t getMode();
  bool setSleep(bool enabled) { return (void)enabled, true; }
  bool setHostname(const char* name);
  bool setAutoReconnect(bool enabled) { return (void)enabled, true; }
  void setScanMethod(wifi_scan_method_t method) { (void)method; }

  wl_status_t begin(const char* ssid, const char* passphrase = nullptr, int32_t channel = 0,
                    const uint8_t* bssid = nullptr, bool connect = true);
  bool disconnect(bool wifi_off = false, bool erase = false);
  wl_status_t status();
  bool isConnected() { return status() == WL_CONNECTED; }
  IPAddress localIP();
  String macAddress();
  String SSID();
  int8_t RSSI();

  bool softAP(const char* ssid, const char* passphrase = nullptr, int channel = 1, int hidden = 0,
              int max_connections = 4);
  bool softAPdisconnect(bool wifi_off = false);
  uint8_t softAPgetStationNum();
  IPAddress softAPIP() { return IPAddress(192, 168, 4, 1); }

  int16_t scanNetworks(bool async = false);
  int16_t scanComplete();
  void scanDelete();
  String SSID(uint8_t network);
  int32_t RSSI(uint8_t network);
  wifi_auth_mode_t encryptionType(uint8_t network);
};

extern WiFiClass WiFi;

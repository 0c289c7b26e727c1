// Arduino's mDNS: told by the simulator's `state`, and with --mdns to everybody who asks.
#pragma once

#include <Arduino.h>

class MDNSResponder {
 public:
  bool begin(const char* host_name);
  bool begin(const String& host_name) { return begin(host_name.c_str()); }
  void setInstanceName(const char* name);
  void setInstanceName(String name) { setInstanceName(name.c_str()); }
  bool addService(const char* service, const char* protocol, uint16_t port);
  bool addServiceTxt(const char* service, const char* protocol, const char* key, const char* value);
};

extern MDNSResponder MDNS;

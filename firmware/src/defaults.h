// What may be changed when the firmware is built, as -D NAME=value. No credential is among them:
// Wi-Fi comes in over serial or the access point, and the password is made by the board itself.
#pragma once

#ifndef FIRMWARE_VERSION
#define FIRMWARE_VERSION "1.0.0"
#endif

#ifndef WEBSOCKET_PORT
#define WEBSOCKET_PORT 81  // as the original sketch has it
#endif

#ifndef HTTP_PORT
#define HTTP_PORT 80
#endif

// A ping every so often; after so many unanswered ones the connection's slot is freed. The interval
// has to be longer than the time-out (Links2004 #769).
#ifndef HEARTBEAT_INTERVAL_MS
#define HEARTBEAT_INTERVAL_MS 15000
#endif
#ifndef HEARTBEAT_TIMEOUT_MS
#define HEARTBEAT_TIMEOUT_MS 5000
#endif
#ifndef HEARTBEAT_MISSES
#define HEARTBEAT_MISSES 2
#endif

// Longer than the longest a round of the loop can take: 4 s for a frame that doesn't come, 6 s for
// a client that doesn't read, and as much again for being unlucky.
#ifndef WATCHDOG_SECONDS
#define WATCHDOG_SECONDS 30
#endif

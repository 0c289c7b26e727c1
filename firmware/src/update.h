// New firmware over the air, into the partition that isn't running.
#pragma once

#include <string>

#include "http_server.h"

// Write an image of `size` bytes: `first`, and then what `rest` has. Returns why it failed, or "":
// then the next start is the new firmware's. The image ends in a SHA-256 of itself, which is
// checked here; whether it belongs to this chip, too.
std::string write_firmware(size_t size, const std::string& first, const HttpHandler::Body& rest);

// The firmware that runs is good. Until it says so, the next restart goes back to the one before
// it.
void keep_this_firmware();

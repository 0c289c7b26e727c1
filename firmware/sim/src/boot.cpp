// A restart: the program executes itself. Its process id stays, and so do its ports, its control
// socket and its NVS; everything else is gone, as on a board.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "sim.h"

namespace sim {

Boot boot;

namespace {

constexpr const char* kVariable = "ESP32CAM_SIM_BOOT";
constexpr int64_t kBootTime = 50 * kMs;

void set_inherited(int fd, bool inherited) {
  if (fd >= 0) fcntl(fd, F_SETFD, inherited ? 0 : FD_CLOEXEC);
}

void set_all_inherited(bool inherited) {
  for (const int fd : {boot.ws, boot.http, boot.control, boot.nvs}) set_inherited(fd, inherited);
}

// As the kernel has it: each argument ends in a NUL.
std::vector<char> command_line() {
  std::vector<char> line;
  FILE* file = fopen("/proc/self/cmdline", "r");
  if (file == nullptr) return line;
  for (int c; (c = fgetc(file)) != EOF;) line.push_back(static_cast<char>(c));
  fclose(file);
  return line;
}

}  // namespace

void take_over() {
  const char* const left = getenv(kVariable);
  if (left == nullptr) return;
  char reason[16] = "";
  sscanf(left, "%15s %d %d %d %d %d", reason, &boot.restarts, &boot.ws, &boot.http, &boot.control,
         &boot.nvs);
  boot.reason = reason;
  unsetenv(kVariable);
  set_all_inherited(false);
  sleep_until(kBootTime);
}

void restart(const char* reason) {
  finish_nvs();
  char left[100];
  snprintf(left, sizeof left, "%s %d %d %d %d %d", reason, boot.restarts + 1, boot.ws, boot.http,
           boot.control, boot.nvs);
  setenv(kVariable, left, 1);
  set_all_inherited(true);
  std::vector<char> line = command_line();
  std::vector<char*> arguments;
  for (size_t i = 0; i < line.size(); ++i) {
    if (i == 0 || line[i - 1] == '\0') arguments.push_back(&line[i]);
  }
  arguments.push_back(nullptr);
  execv("/proc/self/exe", arguments.data());
  perror("esp32cam-sim: no restart");
  _exit(1);
}

}  // namespace sim

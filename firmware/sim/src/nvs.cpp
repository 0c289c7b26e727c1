// NVS: one JSON object in a file, or in memory that lasts as long as the program.
#include <Preferences.h>
#include <cJSON.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <mutex>

#include "sim.h"

namespace {

struct Delete {
  void operator()(cJSON* json) const { cJSON_Delete(json); }
};
using Json = std::unique_ptr<cJSON, Delete>;

constexpr size_t kLongestKey = 15;  // as of the real one

std::mutex mutex;

Json read_all() {
  std::string text;
  char bytes[4096];
  for (ssize_t got;
       (got = pread(sim::boot.nvs, bytes, sizeof bytes, static_cast<off_t>(text.size()))) > 0;) {
    text.append(bytes, static_cast<size_t>(got));
  }
  Json all(cJSON_ParseWithLength(text.data(), text.size()));
  return cJSON_IsObject(all.get()) ? std::move(all) : Json(cJSON_CreateObject());
}

bool write_all(const Json& all) {
  char* const text = cJSON_PrintUnformatted(all.get());
  const size_t size = strlen(text);
  const bool done = ftruncate(sim::boot.nvs, 0) == 0 &&
                    pwrite(sim::boot.nvs, text, size, 0) == static_cast<ssize_t>(size);
  cJSON_free(text);
  return done;
}

cJSON* space_of(const Json& all, const std::string& name) {
  cJSON* space = cJSON_GetObjectItemCaseSensitive(all.get(), name.c_str());
  return space != nullptr ? space : cJSON_AddObjectToObject(all.get(), name.c_str());
}

}  // namespace

void sim::open_nvs() {
  if (boot.nvs >= 0) return;
  boot.nvs = options.nvs.empty() ? memfd_create("nvs", MFD_CLOEXEC)
                                 : open(options.nvs.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (boot.nvs < 0) {
    perror(("esp32cam-sim: " + options.nvs).c_str());
    exit(2);
  }
}

void sim::finish_nvs() { mutex.lock(); }

bool Preferences::begin(const char* name, bool, const char*) {
  name_ = name;
  return name_.size() <= kLongestKey;
}

bool Preferences::isKey(const char* key) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Json all = read_all();
  return cJSON_HasObjectItem(space_of(all, name_), key);
}

String Preferences::getString(const char* key, String otherwise) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Json all = read_all();
  const cJSON* const value = cJSON_GetObjectItemCaseSensitive(space_of(all, name_), key);
  return cJSON_IsString(value) ? String(value->valuestring) : otherwise;
}

size_t Preferences::putString(const char* key, const char* value) {
  if (strlen(key) > kLongestKey) return 0;
  const std::lock_guard<std::mutex> lock(mutex);
  const Json all = read_all();
  cJSON* const space = space_of(all, name_);
  cJSON_DeleteItemFromObjectCaseSensitive(space, key);
  cJSON_AddStringToObject(space, key, value);
  return write_all(all) ? strlen(value) : 0;
}

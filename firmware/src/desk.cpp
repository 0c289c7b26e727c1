#include "desk.h"

#include <Arduino.h>

#include <chrono>
#include <cstdlib>
#include <cstring>

#include "camcore/json.h"
#include "update.h"

namespace {

constexpr std::chrono::seconds kPatience(20);  // more than a capture takes, waiting for others too

constexpr int kGoOn = 100;  // as HTTP has it: the body is wanted

camcore::HttpResponse refusal(int status, const char* code, const char* detail) {
  camcore::HttpResponse response;
  response.status = status;
  response.body = camcore::Writer().add("error", code).add("detail", detail).done();
  return response;
}

// A copy of the picture, so that the driver has its buffer back however slow the browser is.
camcore::HttpResponse without_buffer(camcore::HttpResponse response) {
  camcore::Frame& frame = response.picture.frame;
  if (!frame) return response;
  const size_t size = frame.size();
  void* const copy = psramFound() ? ps_malloc(size) : malloc(size);
  if (copy == nullptr) {
    return refusal(503, camcore::error::kLowMemory, "there is no room for a copy of the picture");
  }
  memcpy(copy, frame.data(), size);
  frame = camcore::Frame(static_cast<const uint8_t*>(copy), size, frame.started(), copy, free);
  return response;
}

}  // namespace

camcore::HttpResponse Desk::answer(const camcore::HttpRequest& request) {
  return in_loop([this, request](Reply reply) { page_.handle(request, std::move(reply)); });
}

camcore::HttpResponse Desk::update(const camcore::HttpRequest& request, size_t size,
                                   const Body& body) {
  uint8_t bytes[256];
  const std::string first(reinterpret_cast<const char*>(bytes),
                          body(bytes, std::min(size, sizeof bytes)));
  const camcore::HttpResponse begun = in_loop([this, request, size, first](Reply reply) {
    if (auto refused = page_.begin_update(request, size, first)) {
      reply(std::move(*refused));
      return;
    }
    // With its buffers filling meanwhile, boards have crashed (esp32-camera #548).
    camera_.stop();
    camcore::HttpResponse go_on;
    go_on.status = kGoOn;
    reply(std::move(go_on));
  });
  if (begun.status != kGoOn) return {begun.status, begun.type, begun.body, {}, begun.retry_after};
  const std::string fault = write_firmware(size, first, body);
  return in_loop([this, fault](Reply reply) { reply(page_.end_update(fault)); });
}

camcore::HttpResponse Desk::in_loop(Work work) {
  const auto job = std::make_shared<Job>();
  job->work = std::move(work);
  std::unique_lock<std::mutex> lock(mutex_);
  handed_over_ = job;
  if (!changed_.wait_for(lock, kPatience, [&] { return job->done; })) {
    handed_over_.reset();
    return refusal(504, camcore::error::kBusy, "the board did not come to it in time");
  }
  return std::move(job->response);
}

void Desk::serve() {
  std::shared_ptr<Job> job;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    job.swap(handed_over_);
  }
  if (job == nullptr) return;
  keep_this_firmware();  // its page can be reached, at the access point if nowhere else
  job->work([this, job](camcore::HttpResponse response) {
    camcore::HttpResponse ours = without_buffer(std::move(response));
    const std::lock_guard<std::mutex> lock(mutex_);
    job->response = std::move(ours);
    job->done = true;
    changed_.notify_all();
  });
}

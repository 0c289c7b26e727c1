// Between the HTTP server's task and the loop: a request is handed over, the answer is waited for.
// Everything the board has is touched by the loop alone.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "camcore/http.h"
#include "camera.h"
#include "http_server.h"

class Desk : public HttpHandler {
 public:
  Desk(camcore::Page& page, DriverSensor& camera) : page_(page), camera_(camera) {}

  // In the server's task.
  camcore::HttpResponse answer(const camcore::HttpRequest& request) override;
  camcore::HttpResponse update(const camcore::HttpRequest& request, size_t size,
                               const Body& body) override;

  // In the loop: take up what was handed over.
  void serve();

 private:
  using Reply = camcore::Page::Reply;
  using Work = std::function<void(Reply)>;
  struct Job {
    Work work;
    camcore::HttpResponse response;
    bool done = false;
  };

  camcore::HttpResponse in_loop(Work work);

  camcore::Page& page_;
  DriverSensor& camera_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Job> handed_over_;
};

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "camcore/http.h"
#include "camcore/json.h"
#include "camcore/page_html.h"
#include "fakes.h"

using namespace camcore;
using namespace fakes;

namespace {

const std::string kPassword = "correct horse";

struct Rig {
  explicit Rig(const std::string& key = {}, std::optional<Credentials> network = {})
      : wifi(std::move(network)) {
    save_access(store, {kPassword, key, false});
    board.begin();
  }

  HttpResponse ask(HttpRequest request) {
    std::vector<HttpResponse> answers;
    page.handle(request, [&](HttpResponse response) { answers.push_back(std::move(response)); });
    for (int i = 0; i < 1000 && answers.empty(); ++i) {
      board.loop();
      clock.time += kMillisecond;
    }
    REQUIRE(answers.size() == 1);
    return std::move(answers[0]);
  }
  HttpResponse get(const std::string& path, const std::string& query = {}) {
    return ask({"GET", path, query, "192.0.2.7", "", ""});
  }
  HttpResponse post(const std::string& path, const std::string& body,
                    const std::string& password = kPassword) {
    return ask({"POST", path, "", "192.0.2.7", password, body});
  }
  std::optional<HttpResponse> begin_update(size_t size, const std::string& first = "\xe9",
                                           const std::string& password = kPassword) {
    return page.begin_update({"POST", "/update", "", "192.0.2.7", password, ""}, size, first);
  }

  Clock clock;
  MapStore store;
  NoLed led;
  Camera camera{clock};
  Board board{camera, led, store, clock, {"esp32cam-1a2b3c", "1.0.0", "ai-thinker", true}};
  WifiSupervisor wifi;
  Page page{board, wifi, clock};
};

std::string text(const HttpResponse& response, const char* key) {
  const auto parsed = parse_object(response.body, 4096);
  const Json* json = std::get_if<Json>(&parsed);
  REQUIRE_MESSAGE(json != nullptr, response.body);
  const cJSON* value = member(json->get(), key);
  REQUIRE_MESSAGE(value != nullptr, response.body);
  return cJSON_IsString(value) ? value->valuestring : quoted(value);
}

bool is_refused(const HttpResponse& response, int status, const char* code) {
  CAPTURE(response.body);
  CHECK(response.status == status);
  CHECK(response.type == "application/json");
  CHECK(text(response, "error") == code);
  CHECK(!text(response, "detail").empty());
  return response.status == status;
}

}  // namespace

TEST_CASE("the page is one small file with nothing from elsewhere in it") {
  Rig rig;
  const HttpResponse response = rig.get("/");
  CHECK(response.status == 200);
  CHECK(response.type == "text/html; charset=utf-8");
  CHECK(response.body == kPageHtml);
  CHECK(response.body.size() < 12 * 1024);
  for (const char* not_there : {"//", "http:", "https:", "innerHTML", "localStorage", "eval("}) {
    CHECK(response.body.find(not_there) == std::string::npos);
  }
  CHECK(is_utf8(response.body));
}

TEST_CASE("the status has the Wi-Fi's state in it, and how new credentials turned out") {
  Rig rig({}, Credentials{"Büro", "sesame-sesame"});
  HttpResponse response = rig.get("/status");
  CHECK(response.status == 200);
  CHECK(text(response, "name") == "esp32cam-1a2b3c");
  CHECK(text(response, "framesize") == "UXGA");
  CHECK(text(response, "allow_legacy") == "false");
  CHECK(text(response, "wifi") == "connecting");
  CHECK(text(response, "ssid") == "Büro");
  CHECK(text(response, "wifi_trial") == "none");
  CHECK(text(response, "access_point") == "false");
  CHECK(response.body.find("sesame") == std::string::npos);

  rig.wifi.step(rig.clock.time, true, 0);
  CHECK(text(rig.get("/status"), "wifi") == "online");
  response = rig.post("/wifi", R"({"ssid":"other","password":"12345678"})");
  CHECK(response.status == 202);
  CHECK(text(response, "wifi_trial") == "under_way");
  CHECK(text(rig.get("/status"), "wifi_trial") == "under_way");
  for (int i = 0; i < 400; ++i) rig.wifi.step(rig.clock.time += 100 * kMillisecond, false, 0);
  CHECK(text(rig.get("/status"), "wifi_trial") == "failed");
  CHECK(text(rig.get("/status"), "ssid") == "Büro");
}

TEST_CASE("a board without credentials says so") {
  Rig rig;
  rig.wifi.step(rig.clock.time, false, 0);
  const HttpResponse response = rig.get("/status");
  CHECK(text(response, "wifi") == "unconfigured");
  CHECK(text(response, "ssid") == "");
  CHECK(text(response, "access_point") == "true");
}

TEST_CASE("a picture is taken as the query says, once") {
  Rig rig;
  {
    const HttpResponse response =
        rig.get("/capture", "t=123&framesize=%56GA&quality=20&flash=0&settle_ms=10&max_age_ms=0");
    CHECK(response.status == 200);
    CHECK(response.type == "image/jpeg");
    REQUIRE(response.picture.frame);
    CHECK(response.picture.width == 640);
    CHECK(response.picture.height == 480);
    CHECK(response.picture.quality == 20);
    CHECK(rig.camera.held == 1);
  }
  CHECK(rig.camera.held == 0);
  CHECK(rig.get("/capture").picture.width == 1600);
}

TEST_CASE("an option that is wrong is named, and nothing is taken") {
  Rig rig;
  const std::pair<const char*, const char*> wrong[] = {
      {"quality=3", "quality"},
      {"quality=", "quality"},
      {"quality", "quality"},
      {"quality=x", "quality"},
      {"quality=4.5", "quality"},
      {"quality=99999999999999999999", "quality"},
      {"quality=%30%30%30%30x", "quality"},
      {"flash=2", "flash"},
      {"flash=yes", "flash"},
      {"settle_ms=-1", "settle_ms"},
      {"max_age_ms=1e3", "max_age_ms"},
      {"framesize=1", "framesize"},
      {"framesize=%ff", "UTF-8"},
      {"framesize=\xff", "UTF-8"},
  };
  for (const auto& [query, named] : wrong) {
    CAPTURE(query);
    const HttpResponse response = rig.get("/capture", query);
    is_refused(response, 400, error::kBadRequest);
    CHECK(text(response, "detail").find(named) != std::string::npos);
  }
  for (const char* query : {"framesize=HUGE", "framesize=vga", "framesize=VGA+", "framesize=",
                            "framesize=VGA%00", "framesize=%00%zz", "framesize=QXGA"}) {
    CAPTURE(query);
    is_refused(rig.get("/capture", query), 400, error::kBadFramesize);
  }
  CHECK(rig.camera.held == 0);
}

TEST_CASE("a query of anything at all is a picture or a named error") {
  std::mt19937 random(2);
  const auto pick = [&](size_t low, size_t high) {
    return std::uniform_int_distribution<size_t>(low, high)(random);
  };
  const std::string pieces[] = {"&", "=",  "%",  "+",   "flash", "quality",
                                "1", "63", "%0", "%41", "="};
  Rig rig;
  rig.board.stop_camera();  // so that a good one is answered at once
  for (int i = 0; i < 20'000; ++i) {
    std::string query;
    for (size_t n = pick(0, 12); n > 0; --n) {
      query += pick(0, 3) ? pieces[pick(0, 10)] : std::string(1, static_cast<char>(pick(0, 255)));
    }
    const HttpResponse response = rig.get("/capture", query);
    REQUIRE((response.status == 400 || response.status == 503));
    REQUIRE(is_utf8(response.body));
  }
}

TEST_CASE("a camera that fails is told") {
  Rig rig;
  rig.camera.broken = true;
  is_refused(rig.get("/capture"), 502, error::kCameraFailed);
}

TEST_CASE("only a host that can't be somebody else's is answered") {
  Rig rig;
  const auto status = [&](const std::string& host) {
    return rig.ask({"GET", "/settings", "", host, "", ""}).status;
  };
  for (const char* host : {"192.0.2.7", "192.0.2.7:80", "192.0.2.7:", "[::1]", "[2001:db8::1]:8080",
                           "[::ffff:192.0.2.7]", "cam", "esp32cam-1a2b3c:80", "localhost",
                           "esp32cam-1a2b3c.local", "ESP32CAM-1A2B3C.LOCAL:80", "a.b.local"}) {
    CAPTURE(host);
    CHECK(status(host) == 200);
  }
  for (const char* host : {"",
                           ":80",
                           "[",
                           "[]",
                           "[::1",
                           "[::1]x",
                           "[example.org]",
                           "example.org",
                           "example.org:80",
                           "192.0.2.7.example.org",
                           "192.0.2",
                           "192.0.2.256",
                           "192.0.2.7.",
                           "192.0.2.",
                           "192..2.7",
                           "1.2.3.4.5",
                           ".local",
                           "local.example.org",
                           "cam.localx",
                           "xlocal.com",
                           "cam:80x",
                           "cam:80:80",
                           "cam cam",
                           "cam/",
                           "2001:db8::1",
                           "cam\xff"}) {
    CAPTURE(host);
    CHECK(status(host) == 403);
  }
}

TEST_CASE("a host that is somebody else's gets nothing, with the password or without") {
  Rig rig;
  for (const char* path : {"/", "/status", "/nowhere"}) {
    is_refused(rig.ask({"GET", path, "", "example.org", kPassword, ""}), 403, error::kBadRequest);
  }
  rig.ask({"POST", "/restart", "", "example.org", kPassword, "{}"});
  CHECK(rig.clock.restarts == 0);
  for (int i = 0; i < 10; ++i) rig.ask({"POST", "/restart", "", "example.org", "wrong", "{}"});
  CHECK(rig.post("/settings", "{}").status == 200);  // those were no tries
}

TEST_CASE("what is not there, and what can't be done there, is told") {
  Rig rig;
  for (const char* path : {"", "/nowhere", "/status/", "/../../etc/passwd", "/Status", "//"}) {
    is_refused(rig.get(path), 404, error::kUnknownCommand);
  }
  const std::pair<const char*, const char*> wrong[] = {
      {"POST", "/"},        {"HEAD", "/"},      {"DELETE", "/settings"}, {"GET", "/restart"},
      {"OPTIONS", "/wifi"}, {"get", "/status"}, {"GET", "/update"},      {"PUT", "/access"},
  };
  for (const auto& [method, path] : wrong) {
    CAPTURE(path);
    const HttpResponse response = rig.ask({method, path, "", "cam", kPassword, ""});
    is_refused(response, 405, error::kUnknownCommand);
    CHECK(!response.allow.empty());
  }
  CHECK(rig.ask({"DELETE", "/settings", "", "cam", "", ""}).allow == "GET, POST");
}

TEST_CASE("nothing is changed without the password") {
  Rig rig;
  const std::string stored = rig.store.texts["access"];
  const std::pair<const char*, const char*> changes[] = {
      {"/settings", R"({"vflip":true})"},
      {"/wifi", R"({"ssid":"other","password":"12345678"})"},
      {"/access", R"({"key":"sesame"})"},
      {"/restart", "{}"},
      {"/update", ""},
  };
  for (const auto& [path, body] : changes) {
    is_refused(rig.post(path, body, ""), 401, error::kUnauthorized);
    rig.clock.time += 120 * kSecond;
    is_refused(rig.post(path, body, "wrong"), 401, error::kUnauthorized);
    rig.post("/settings", "{}");  // a right one, so that the wrong ones don't add up
  }
  CHECK_FALSE(rig.board.settings().vflip);
  CHECK(rig.wifi.trial() == WifiSupervisor::Trial::kNone);
  CHECK(rig.store.texts["access"] == stored);
  CHECK(rig.clock.restarts == 0);
}

TEST_CASE("who tries passwords has to wait, the owner too") {
  Rig rig;
  for (int i = 0; i < 5; ++i) CHECK(rig.post("/settings", "{}", "wrong").status == 401);
  const HttpResponse response = rig.post("/settings", "{}");
  is_refused(response, 429, error::kUnauthorized);
  CHECK(response.retry_after == kToWaitForPassword);
  is_refused(*rig.begin_update(kMinFirmware), 429, error::kUnauthorized);
  CHECK(rig.get("/status").status == 200);
  rig.clock.time += 61 * kSecond;
  CHECK(rig.post("/settings", "{}").status == 200);
}

TEST_CASE("no password at all is no try at it") {
  Rig rig("sesame");
  for (int i = 0; i < 20; ++i) CHECK(rig.get("/status").status == 401);
  CHECK(rig.post("/settings", "{}").status == 200);
}

TEST_CASE("with a key, reading takes the password too, all but the page itself") {
  Rig rig("sesame");
  CHECK(rig.get("/").status == 200);
  for (const char* path : {"/status", "/settings", "/capture"}) {
    is_refused(rig.get(path), 401, error::kUnauthorized);
    is_refused(rig.ask({"GET", path, "", "cam", "sesame", ""}), 401, error::kUnauthorized);
    const HttpResponse response = rig.ask({"GET", path, "", "cam", kPassword, ""});
    CHECK(response.status == 200);
    CHECK(response.body.find("sesame") == std::string::npos);
    CHECK(response.body.find(kPassword) == std::string::npos);
  }
}

TEST_CASE("settings are changed for good, all or none") {
  Rig rig;
  HttpResponse response = rig.post("/settings", R"({"quality":30,"framesize":"SVGA"})");
  CHECK(response.status == 200);
  CHECK(text(response, "quality") == "30");
  CHECK(rig.get("/settings").body == response.body);
  CHECK(load_settings(rig.store).quality == 30);
  response = rig.post("/settings", R"({"quality":31,"brightness":3})");
  is_refused(response, 400, error::kBadRequest);
  CHECK(text(response, "detail").find("brightness") != std::string::npos);
  is_refused(rig.post("/settings", R"({"framesize":"QXGA"})"), 400, error::kBadFramesize);
  CHECK(text(rig.get("/settings"), "quality") == "30");
}

TEST_CASE("a body that is no object, or too long, is refused") {
  Rig rig;
  for (const char* path : {"/settings", "/wifi", "/access"}) {
    for (const std::string& body :
         {std::string(), std::string("{"), std::string("[]"), std::string("null"),
          std::string("\xff\xfe"), std::string(1000, '['), std::string("{}\0", 3)}) {
      is_refused(rig.post(path, body), 400, error::kBadRequest);
    }
    const std::string empty = "{}";
    is_refused(rig.post(path, empty + std::string(kMaxBody - 1, ' ')), 413, error::kBadRequest);
  }
  CHECK(rig.post("/settings", "{}" + std::string(kMaxBody - 2, ' ')).status == 200);
}

TEST_CASE("a network that can not be is refused, and none is tried") {
  Rig rig;
  for (const char* body :
       {"{}", R"({"ssid":""})", R"({"ssid":7})", R"({"ssid":"home","password":"short"})",
        R"({"ssid":"home","password":null})", R"({"ssid":"123456789012345678901234567890123"})"}) {
    is_refused(rig.post("/wifi", body), 400, error::kBadRequest);
  }
  CHECK(rig.wifi.trial() == WifiSupervisor::Trial::kNone);
  const HttpResponse response = rig.post("/wifi", R"({"ssid":"open"})");
  CHECK(response.status == 202);
  CHECK(rig.wifi.credentials()->ssid == "open");
}

TEST_CASE("key and password are changed, and never told") {
  Rig rig;
  HttpResponse response =
      rig.post("/access", R"({"key":"open sesame","password":"new-password","allow_legacy":true})");
  CHECK(response.status == 200);
  CHECK(text(response, "auth") == "hmac");
  CHECK(text(response, "allow_legacy") == "true");
  CHECK(response.body.find("sesame") == std::string::npos);
  CHECK(response.body.find("new-password") == std::string::npos);
  CHECK(rig.board.access().key == "open sesame");
  CHECK(rig.post("/access", R"({"key":""})").status == 401);
  response = rig.post("/access", R"({"key":""})", "new-password");
  CHECK(text(response, "auth") == "none");
  CHECK(text(response, "allow_legacy") == "true");
  response = rig.post("/access", R"({"password":"s3cret"})", "new-password");
  is_refused(response, 400, error::kBadRequest);
  CHECK(response.body.find("s3cret") == std::string::npos);
}

TEST_CASE("access that could not be stored is not in force") {
  Rig rig;
  rig.store.full = true;
  const HttpResponse response = rig.post("/access", R"({"key":"sesame"})");
  is_refused(response, 503, error::kLowMemory);
  CHECK(response.retry_after > 0);
  CHECK(rig.board.access().key.empty());
}

TEST_CASE("a restart is answered, and then comes") {
  Rig rig;
  CHECK(rig.post("/restart", "").status == 202);
  for (int i = 0; i < 1000 && rig.clock.restarts == 0; ++i) {
    rig.board.loop();
    rig.clock.time += 10 * kMillisecond;
  }
  CHECK(rig.clock.restarts > 0);
}

TEST_CASE("an update that is refused stops nothing") {
  Rig rig;
  is_refused(*rig.begin_update(200'000, "\xe9", ""), 401, error::kUnauthorized);
  is_refused(*rig.begin_update(200'000, "\xe9", "wrong"), 401, error::kUnauthorized);
  is_refused(*rig.begin_update(0, ""), 400, error::kBadRequest);
  is_refused(*rig.begin_update(kMinFirmware - 1), 400, error::kBadRequest);
  is_refused(*rig.begin_update(200'000, ""), 400, error::kBadRequest);
  is_refused(*rig.begin_update(200'000, "PK"), 400, error::kBadRequest);
  is_refused(*rig.begin_update(kMaxFirmware + 1), 413, error::kBadRequest);
  is_refused(*rig.page.begin_update({"POST", "/update", "", "example.org", kPassword, ""}, 200'000,
                                    "\xe9"),
             403, error::kBadRequest);
  is_refused(rig.post("/update", "\xe9"), 400, error::kBadRequest);
  CHECK(rig.get("/capture").status == 200);
  CHECK(rig.clock.restarts == 0);
}

TEST_CASE("an update stops the camera, and the board restarts however it ends") {
  for (const bool well : {true, false}) {
    Rig rig;
    CHECK_FALSE(rig.begin_update(kMinFirmware));
    is_refused(rig.get("/capture"), 503, error::kBusy);
    is_refused(*rig.begin_update(kMinFirmware), 503, error::kBusy);
    const HttpResponse response = rig.page.end_update(well ? "" : "checksum");
    if (well) {
      CHECK(response.status == 200);
    } else {
      is_refused(response, 400, error::kBadRequest);
      CHECK(text(response, "detail").find("checksum") != std::string::npos);
    }
    for (int i = 0; i < 1000 && rig.clock.restarts == 0; ++i) {
      rig.board.loop();
      rig.clock.time += 10 * kMillisecond;
    }
    CHECK(rig.clock.restarts > 0);
  }
}

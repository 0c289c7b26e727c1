#include "card.h"

#include <turbojpeg.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <tuple>
#include <vector>

#include "font.h"

namespace sim {
namespace {

struct Colour {
  uint8_t y, u, v;
};

constexpr Colour rgb(int r, int g, int b) {
  return {static_cast<uint8_t>((299 * r + 587 * g + 114 * b) / 1000),
          static_cast<uint8_t>(128 + (-169 * r - 331 * g + 500 * b) / 1000),
          static_cast<uint8_t>(128 + (500 * r - 419 * g - 81 * b) / 1000)};
}

constexpr Colour kWhite = rgb(240, 240, 235);
constexpr Colour kInk = rgb(22, 26, 34);
constexpr Colour kWall = rgb(58, 70, 92);
constexpr Colour kLine = rgb(78, 92, 118);
constexpr Colour kHand = rgb(235, 80, 60);
constexpr Colour kAmber = rgb(250, 200, 60);
constexpr Colour kBars[] = {rgb(191, 191, 191), rgb(191, 191, 0), rgb(0, 191, 191),
                            rgb(0, 191, 0),     rgb(191, 0, 191), rgb(191, 0, 0),
                            rgb(0, 0, 191),     rgb(16, 16, 16)};

uint8_t byte(int value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

// 4:2:2, as an OV2640 has it: colours are half as many as pixels in a row.
struct Canvas {
  Canvas(int width, int height)
      : w(width), h(height), y(size_t(w) * h), u(y.size() / 2), v(y.size() / 2) {}

  void rect(int left, int top, int right, int bottom, Colour colour) {
    left = std::clamp(left, 0, w);
    right = std::clamp(right, left, w);
    bottom = std::min(bottom, h);
    for (int row = std::max(top, 0); row < bottom; ++row) {
      const size_t start = size_t(row) * w;
      std::fill(&y[start + left], &y[start] + right, colour.y);
      const size_t half = start / 2;
      std::fill(&u[half] + left / 2, &u[half] + (right + 1) / 2, colour.u);
      std::fill(&v[half] + left / 2, &v[half] + (right + 1) / 2, colour.v);
    }
  }

  void disc(double x, double y, double radius, Colour colour) {
    for (int row = static_cast<int>(y - radius); row <= y + radius; ++row) {
      const double half = std::sqrt(std::max(0.0, radius * radius - (row - y) * (row - y)));
      rect(static_cast<int>(x - half), row, static_cast<int>(x + half), row + 1, colour);
    }
  }

  // Its dots have `scale` pixels.
  void text(int left, int top, int scale, const std::string& text, Colour colour) {
    for (const char c : text) {
      const Glyph glyph = glyph_of(c);
      for (int row = 0; row < kGlyphHeight; ++row) {
        for (int dot = 0; dot < kGlyphWidth; ++dot) {
          if ((glyph[static_cast<size_t>(row)] >> (kGlyphWidth - 1 - dot) & 1) == 0) continue;
          const int x = left + dot * scale, y = top + row * scale;
          rect(x, y, x + scale, y + scale, colour);
        }
      }
      left += (kGlyphWidth + 1) * scale;
    }
  }

  int w, h;
  std::vector<uint8_t> y, u, v;
};

int text_width(size_t characters, int scale) {
  return static_cast<int>(characters) * (kGlyphWidth + 1) * scale;
}

// The largest scale at which so many characters fit.
int scale_for(size_t characters, int width, int height) {
  return std::max(1, std::min(width / text_width(characters, 1), height / kGlyphHeight));
}

// Where things are, in parts of the frame's height and, across, of its width.
struct Layout {
  explicit Layout(const Canvas& canvas) : w(canvas.w), h(canvas.h) {}
  int x(double part) const { return static_cast<int>(part * w); }
  int y(double part) const { return static_cast<int>(part * h); }
  double dial_x() const { return 0.2 * w; }
  double dial_y() const { return 0.62 * h; }
  double dial_radius() const { return std::min(0.2 * h, 0.16 * w); }
  const int w, h;
};

void draw_card(Canvas& canvas) {
  const Layout at(canvas);
  canvas.rect(0, 0, at.w, at.h, kWall);
  const int cell = std::max(8, at.h / 15);
  for (int x = at.w / 2 % cell; x < at.w; x += cell) canvas.rect(x, 0, x + 1, at.h, kLine);
  for (int y = at.h / 2 % cell; y < at.h; y += cell) canvas.rect(0, y, at.w, y + 1, kLine);

  constexpr int kCount = sizeof kBars / sizeof *kBars;
  for (int i = 0; i < kCount; ++i) {
    canvas.rect(at.w * i / kCount, 0, at.w * (i + 1) / kCount, at.y(0.27), kBars[i]);
  }
  constexpr int kSteps = 16;
  for (int i = 0; i < kSteps; ++i) {
    const int grey = 255 * i / (kSteps - 1);
    canvas.rect(at.w * i / kSteps, at.y(0.27), at.w * (i + 1) / kSteps, at.y(0.35),
                rgb(grey, grey, grey));
  }
  // Finer and finer lines, for the lens and the JPEG quality.
  for (int x = at.x(0.42), step = std::max(2, at.w / 100); x < at.x(0.97) && step > 0; x += step) {
    canvas.rect(x, at.y(0.78), x + std::max(1, step / 2), at.y(0.86), kWhite);
    if ((x - at.x(0.42)) % 12 == 0 && step > 2) --step;
  }
  canvas.disc(at.dial_x(), at.dial_y(), at.dial_radius(), kWhite);
  canvas.disc(at.dial_x(), at.dial_y(), at.dial_radius() * 0.93, kInk);
  for (int hour = 0; hour < 12; ++hour) {
    const double angle = hour * M_PI / 6, far = at.dial_radius() * 0.82;
    canvas.disc(at.dial_x() + far * std::sin(angle), at.dial_y() - far * std::cos(angle),
                at.dial_radius() * (hour % 3 == 0 ? 0.06 : 0.03), kWhite);
  }
  canvas.rect(0, at.y(0.9), at.w, at.h, kInk);
}

// A dim room, or one with a light that comes from the camera; then the sensor's own settings, and
// its noise.
void expose(Canvas& canvas, const Exposure& exposure) {
  const double contrast = 1 + 0.15 * exposure.contrast;
  uint32_t noise = 1;
  size_t i = 0;
  for (int row = 0; row < canvas.h; ++row) {
    const double dy = 2.0 * row / canvas.h - 1;
    for (int column = 0; column < canvas.w; ++column, ++i) {
      const double dx = 2.0 * column / canvas.w - 1;
      const double light = exposure.lit ? 1.12 - 0.22 * (dx * dx + dy * dy) : 0.62;
      noise = noise * 1664525 + 1013904223;
      const int grain = static_cast<int>(noise >> 24 & 7) + static_cast<int>(noise >> 27 & 7) - 7;
      const double seen = canvas.y[i] * light * contrast + 128 * (1 - contrast);
      canvas.y[i] = byte(static_cast<int>(seen) + 20 * exposure.brightness + grain);
    }
  }
  const double saturation = 1 + 0.3 * exposure.saturation;
  for (std::vector<uint8_t>* plane : {&canvas.u, &canvas.v}) {
    for (uint8_t& value : *plane) value = byte(128 + static_cast<int>((value - 128) * saturation));
  }
}

void flip(std::vector<uint8_t>& plane, int width, bool vertically, bool horizontally) {
  if (vertically && horizontally) {
    std::reverse(plane.begin(), plane.end());
    return;
  }
  const auto height = static_cast<std::ptrdiff_t>(plane.size()) / width;
  for (std::ptrdiff_t row = 0; horizontally && row < height; ++row) {
    std::reverse(plane.begin() + row * width, plane.begin() + (row + 1) * width);
  }
  for (std::ptrdiff_t row = 0; vertically && row < height / 2; ++row) {
    std::swap_ranges(plane.begin() + row * width, plane.begin() + (row + 1) * width,
                     plane.end() - (row + 1) * width);
  }
}

// What doesn't change from frame to frame is kept, for the latest few kinds of frames.
const Canvas& backdrop(const Exposure& e) {
  using Kind = std::tuple<int, int, int, int, int, bool, bool, bool>;
  constexpr size_t kKinds = 4;
  static std::list<std::pair<Kind, Canvas>> kept;
  const Kind kind{e.width,      e.height, e.brightness, e.contrast,
                  e.saturation, e.vflip,  e.hmirror,    e.lit};
  const auto known = std::find_if(kept.begin(), kept.end(),
                                  [&](const auto& entry) { return entry.first == kind; });
  if (known != kept.end()) {
    kept.splice(kept.begin(), kept, known);
  } else {
    if (kept.size() == kKinds) kept.pop_back();
    kept.emplace_front(kind, Canvas(e.width, e.height));
    Canvas& canvas = kept.front().second;
    draw_card(canvas);
    expose(canvas, e);
    flip(canvas.y, e.width, e.vflip, e.hmirror);
    flip(canvas.u, e.width / 2, e.vflip, e.hmirror);
    flip(canvas.v, e.width / 2, e.vflip, e.hmirror);
  }
  return kept.front().second;
}

void label(Canvas& canvas, int left, int top, int scale, const std::string& text, Colour ink,
           Colour paper) {
  canvas.rect(left - scale, top, left + text_width(text.size(), scale), top + 9 * scale, paper);
  canvas.text(left, top + scale, scale, text, ink);
}

std::string clock_text(int64_t ms) {
  char text[32];
  snprintf(text, sizeof text, "%02d:%02d:%02d.%03d", static_cast<int>(ms / 3'600'000),
           static_cast<int>(ms / 60'000 % 60), static_cast<int>(ms / 1000 % 60),
           static_cast<int>(ms % 1000));
  return text;
}

// The hand turns once in two seconds. Whatever way round the sensor is, it is drawn to be read.
void draw_now(Canvas& canvas, const Exposure& exposure, const std::string& name) {
  const Layout at(canvas);
  const double angle = static_cast<double>(exposure.exposed_ms % 2000) / 1000 * M_PI;
  const double dial_x = exposure.hmirror ? at.w - at.dial_x() : at.dial_x();
  const double dial_y = exposure.vflip ? at.h - at.dial_y() : at.dial_y();
  for (int i = 0; i <= 40; ++i) {
    const double far = at.dial_radius() * 0.7 * i / 40;
    canvas.disc(dial_x + far * std::sin(exposure.hmirror ? -angle : angle),
                dial_y - far * std::cos(angle) * (exposure.vflip ? -1 : 1),
                std::max(1.0, at.dial_radius() * 0.035), kHand);
  }

  char number[8];
  snprintf(number, sizeof number, "%06u", exposure.number % 1'000'000);
  const std::string clock = clock_text(exposure.exposed_ms);
  const int large = scale_for(6, at.x(0.55), at.y(0.2));
  const int middle = scale_for(clock.size(), at.x(0.36), at.y(0.07));
  const int left = at.x(exposure.hmirror ? 0.04 : 0.42);
  int top = at.y(exposure.vflip ? 0.26 : 0.39);
  label(canvas, left, top, large, number, kWhite, kInk);
  top += 10 * large;
  label(canvas, left, top, middle, clock, kAmber, kInk);
  top += 10 * middle;
  if (exposure.lit) label(canvas, left, top, middle, "FLASH", kInk, kAmber);

  char kind[40];
  snprintf(kind, sizeof kind, "%dX%d Q%d", exposure.width, exposure.height, exposure.quality);
  const std::string right = kind;
  const int small = scale_for(name.size() + right.size() + 3, at.w, at.y(0.06));
  const int line = at.y(0.95) - 7 * small / 2;
  canvas.rect(0, at.y(0.9), at.w, at.h, kInk);
  canvas.text(3 * small, line, small, name, kWhite);
  canvas.text(at.w - text_width(right.size(), small) - 2 * small, line, small, right, kWhite);
}

// The sensor's number scales its quantisation: 6 % a step, 17 is what the JPEG standard suggests.
int jpeg_quality(int quality) {
  return std::clamp(quality <= 16 ? 100 - 3 * quality : 833 / quality, 1, 100);
}

Jpeg compress(const Canvas& canvas, int quality) {
  static const tjhandle compressor = tjInitCompress();
  const unsigned char* planes[] = {canvas.y.data(), canvas.u.data(), canvas.v.data()};
  unsigned char* data = nullptr;
  unsigned long size = 0;
  if (tjCompressFromYUVPlanes(compressor, planes, canvas.w, nullptr, canvas.h, TJSAMP_422, &data,
                              &size, quality, TJFLAG_FASTDCT) != 0) {
    fprintf(stderr, "esp32cam-sim: no JPEG: %s\n", tjGetErrorStr2(compressor));
    abort();
  }
  Jpeg jpeg;
  jpeg.data.reset(data);
  jpeg.size = size;
  return jpeg;
}

// Behind the first segment, which says that it is a JFIF.
Jpeg with_comment(const Jpeg& jpeg, const std::string& comment) {
  const unsigned char* const data = jpeg.data.get();
  const size_t first = 4 + size_t(data[4] << 8 | data[5]) - 2 + 2;
  const size_t length = comment.size() + 2;
  Jpeg commented;
  commented.size = jpeg.size + 2 + length;
  commented.data.reset(tjAlloc(static_cast<int>(commented.size)));
  unsigned char* out = std::copy_n(data, first, commented.data.get());
  for (const int value : {0xFF, 0xFE, int(length >> 8), int(length & 0xFF)}) *out++ = byte(value);
  out = std::copy(comment.begin(), comment.end(), out);
  std::copy(data + first, data + jpeg.size, out);
  return commented;
}

}  // namespace

void FreeJpeg::operator()(unsigned char* data) const { tjFree(data); }

Jpeg take_picture(const Exposure& exposure, const std::string& name) {
  static Canvas canvas(0, 0);
  canvas = backdrop(exposure);
  draw_now(canvas, exposure, name);
  char comment[80];
  snprintf(comment, sizeof comment, "seq=%u exposed_ms=%lld flash=%d", exposure.number,
           static_cast<long long>(exposure.exposed_ms), exposure.lit);
  return with_comment(compress(canvas, jpeg_quality(exposure.quality)), comment);
}

}  // namespace sim

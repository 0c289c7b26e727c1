// What a client has sent so far, held back until it is whole: the WebSocket library waits up to
// five seconds for the rest of whatever it has begun to read, and everybody waits with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace camcore {

constexpr size_t kMaxRequest = 2048;  // bytes of a handshake; the bridge sends about 200
constexpr size_t kMaxMessage =
    2048;  // bytes of a message that are looked at; more ends the connection

class Gate {
 public:
  enum class State {
    kWaiting,  // for more bytes
    kWhole,    // a handshake or a frame is here in full: let `whole()` bytes through
    kTooLong,  // it never will be: hang up, 1009 after the handshake
    kBroken,  // that is no HTTP request, or no frame of a client (unmasked, unknown opcode …): 1002
  };

  // How many bytes it would take in now. Reading no more than that keeps memory bounded.
  size_t room() const;
  void put(const uint8_t* data, size_t size);
  State state() const { return state_; }
  // How many of the held bytes may be read now: all or nothing of a handshake or a frame.
  size_t whole() const { return whole_; }
  // Read up to `size` of those; returns how many.
  size_t take(uint8_t* out, size_t size);
  int peek() const;  // the next byte of those, or -1

  // Of the handshake, once it is whole.
  std::string_view path() const { return path_; }
  bool is_websocket() const { return is_websocket_; }  // an upgrade, version 13, with a key
  bool greeted() const { return greeted_; }            // the handshake has been taken

 private:
  void look();
  void look_at_request();
  void look_at_frame();

  std::string held_;
  size_t at_ = 0;      // what is before has been taken
  size_t looked_ = 0;  // for the request's end, up to here
  std::string path_;
  size_t whole_ = 0;
  State state_ = State::kWaiting;
  bool greeted_ = false;
  bool is_websocket_ = false;
};

}  // namespace camcore

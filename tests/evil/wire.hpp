// SPDX-License-Identifier: MIT
// Bytes to and from another program of the suite, without any of the care that lib/ipc takes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/fields.hpp"

namespace postrider::evil {

struct Heard {
  std::uint16_t type = 0;
  std::string body;
  std::vector<Fd> fds;
  Heard() {}
};

std::string frame(std::uint16_t type, ByteView body, std::uint8_t descriptors = 0);
std::string header(std::uint32_t length, std::uint16_t type, std::uint8_t version,
                   std::uint8_t descriptors);

class Wire {
 public:
  explicit Wire(Fd fd) : fd_(std::move(fd)) {}
  // Error: nobody listens, or we may not.
  static Result<Wire> connect(const std::string& path);

  // What does not fit is given up after a moment; false when the peer has gone.
  bool raw(ByteView bytes, const std::vector<int>& descriptors = {});
  template <typename Message>
  bool say(const Message& message, const std::vector<int>& descriptors = {}) {
    return raw(
        frame(Message::kType, encode(message), static_cast<std::uint8_t>(descriptors.size())),
        descriptors);
  }
  // The next frame, or nothing within `milliseconds` (see closed()).
  std::optional<Heard> hear(int milliseconds);
  // The next frame of this type; others are passed over.
  template <typename Message>
  std::optional<Heard> hear(int milliseconds) {
    for (int i = 0; i < 1000; ++i) {
      std::optional<Heard> heard = hear(milliseconds);
      if (!heard || heard->type == Message::kType) return heard;
    }
    return {};
  }
  // Reads until the peer closes or nothing comes for `milliseconds`; true: it has closed.
  bool wait_closed(int milliseconds);
  bool closed() const { return closed_; }
  int fd() const { return fd_.get(); }

 private:
  bool fill(int milliseconds);
  Fd fd_;
  std::string in_;
  std::vector<Fd> fds_;
  bool closed_ = false;
};

} // namespace postrider::evil

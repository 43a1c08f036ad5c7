// SPDX-License-Identifier: MIT
// What was said on one connection, line by line, without message content and without credentials:
// kept for a notice to the postmaster (notify_classes), written to the log (debug_peer_list), or
// both. Bounded. Sessions have one only where somebody wants to know.
#pragma once

#include <deque>
#include <string>

#include "base/bytes.hpp"

namespace postrider::smtpclient {

class Transcript {
 public:
  static constexpr std::size_t kMostKept = 32 << 10; // bytes; the oldest lines go first

  // `peer` as in the log: "host[address]:port".
  explicit Transcript(std::string peer) : peer_(std::move(peer)) {}

  void keep() { keep_ = true; }
  void log() { log_ = true; }
  bool keeps() const { return keep_; }
  bool logs() const { return log_; }

  void sent(ByteView commands);
  void received(ByteView reply);
  // What smtp_reply_filter made of the line that was received last.
  void replaced(ByteView line);
  void remark(ByteView what); // log only
  // A new message begins.
  void clear();

  // "Out: MAIL FROM:<a@b>", "In:  250 ok", one per line.
  std::string text() const;

 private:
  void add(std::string line);

  std::string peer_;
  std::deque<std::string> lines_;
  std::size_t bytes_ = 0;
  std::size_t left_out_ = 0;
  bool keep_ = false;
  bool log_ = false;
};

} // namespace postrider::smtpclient

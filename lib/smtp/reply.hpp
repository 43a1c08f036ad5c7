// SPDX-License-Identifier: MIT
// Replies as a client reads them (RFC 5321 section 4.2, enhanced codes RFC 2034). Whatever a
// hostile server sends, memory stays below the limits and no byte of the text can break a log line
// or a record. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace postrider::smtp {

struct Reply {
  int code = 0;     // 200..599, of the last line: it wins when the lines disagree
  std::string dsn;  // "5.1.1" when one stands in the reply and agrees with the code; else empty
  std::string text; // the lines with their codes, '\n' between; printable, cut at kMaxStored

  bool ok() const { return code / 100 == 2; }
  bool temporary() const { return code / 100 == 4; }
  bool permanent() const { return code / 100 == 5; }
  // The enhanced code, or "4.0.0" made from the reply code.
  std::string status() const;
  std::string joined(std::string_view between) const; // lines with other text between them
};

// Lines beyond kMaxLine are cut, as Postfix does: what is too long is passed over, so that a server
// may announce whatever it likes. All of it counts for kMaxBytes.
class ReplyParser {
 public:
  static constexpr std::size_t kMaxLine = 2048;
  static constexpr std::size_t kMaxLines = 500;
  static constexpr std::size_t kMaxBytes = 4 << 20; // of one reply, as it came
  static constexpr std::size_t kMaxStored = 8 << 10;
  struct Limits {
    std::size_t line = kMaxLine, stored = kMaxStored;
  };
  // For replies to AUTH and what follows: a challenge of 64 kB, in base64, is kept as a whole.
  static constexpr Limits kChallenges{90 << 10, 96 << 10};

  ReplyParser() = default;
  explicit ReplyParser(const Limits& limits) : limits_(limits) {}

  // Takes bytes off the front of `in` up to the end of a reply: true when reply() is complete, and
  // the next call begins a new one. Error protocol or limit: the connection cannot go on.
  Result<bool> feed(ByteView& in);
  // The same in two halves, for who wants to see a line before it counts: up to the end of a line;
  // then what line() is, or what stands in its place.
  Result<bool> feed_line(ByteView& in);
  ByteView line() const { return line_; } // without its end
  Result<bool> take_line(ByteView text);

  const Reply& reply() const { return reply_; }
  Reply take() { return std::move(reply_); }
  bool was_cut() const { return cut_; } // a line of the reply

 private:
  Limits limits_;
  Reply reply_;
  std::string line_;
  std::size_t lines_ = 0;
  std::size_t bytes_ = 0;
  bool line_complete_ = true;
  bool complete_ = true;
  bool cut_ = false;
};

} // namespace postrider::smtp

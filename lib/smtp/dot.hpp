// SPDX-License-Identifier: MIT
// The dot of RFC 5321 section 4.5.2, both ways. Sending: a dot before each line that begins with
// one. Receiving: the end of the data is CR LF '.' CR LF and nothing else, however the bytes are
// cut into pieces and whatever else stands where a line end might be. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.hpp"
#include "mail/header.hpp"

namespace postrider::smtp {

// Content with CRLF line ends -> what goes over the wire, without the final dot. `at_line_start`
// carries over from piece to piece; begin with true.
void append_stuffed(std::string& out, ByteView content, bool& at_line_start);

// The same, whatever the content is: a line longer than `limit` (smtp_line_length_limit; 0: no
// limit) goes on behind CR LF SP, a bare LF becomes CR LF, a bare CR and a NUL become a space.
// Carries the place in the line from piece to piece. With Framing::chunk dots are left alone.
enum class Framing : std::uint8_t;
class LineFolder {
 public:
  explicit LineFolder(std::size_t limit);
  LineFolder(std::size_t limit, Framing framing);
  void append(std::string& out, ByteView content);
  bool folded() const { return folded_; } // some line was too long

 private:
  std::size_t whole_lines(std::string& out, ByteView content);
  void put(std::string& out, ByteView part_of_line);

  std::size_t limit_;
  bool dots_;
  std::size_t length_ = 0; // of the current line
  bool cr_ = false;        // the last byte was a CR: what it is depends on the next
  bool folded_ = false;
};

// A bare LF or CR never ends the message, whatever the mode says.
enum class BareNewline : std::uint8_t {
  normalize, // a bare LF becomes CR LF; a bare CR and a NUL become a space
  reject,    // the same, and rejected() turns true: the message must be refused
  no,        // the same as normalize: there is no mode in which they are stored or sent on
};
enum class Framing : std::uint8_t {
  dot,   // DATA: dots are removed; ends at CR LF '.' CR LF
  chunk, // BDAT: the bytes as they are; the caller knows the end and calls finish()
};

class DataDecoder {
 public:
  explicit DataDecoder(BareNewline mode = BareNewline::normalize, Framing framing = Framing::dot)
      : mode_(mode), framing_(framing) {}

  struct Fed {
    std::size_t consumed = 0; // all of the input unless `ended`
    bool ended = false;       // what follows `consumed` is the next command
  };
  // Appends the content found in `in` to `out`. REQUIRES that it has not ended.
  Fed feed(ByteView in, std::string& out);
  // Framing::chunk, after the last chunk: gives out what was held back.
  void finish(std::string& out);

  // Goes on counting where the content so far ended.
  const mail::ContentFacts& facts() const { return scanner_.facts(); }
  const mail::ContentScanner& scanner() const { return scanner_; }
  bool rejected() const { return mode_ == BareNewline::reject && stray_ > 0; }
  std::uint64_t stray() const { return stray_; } // bare CR, bare LF and NUL seen
  bool ended() const { return state_ == State::ended; }

 private:
  // Where we are in the input, in terms of what was read last.
  enum class State : std::uint8_t {
    line_start, // nothing of this line yet; the line before ended in CR LF (or this is the first)
    after_lf,   // nothing of this line yet; the line before ended in a bare LF
    in_line,
    cr,     // in_line and a CR
    dot,    // the '.' that began a line after CR LF: removed, perhaps the end
    dot_cr, // and a CR
    ended,
  };
  std::size_t whole_lines(ByteView in, std::string& out);
  void one(char c, std::string& out);

  mail::ContentScanner scanner_;
  std::uint64_t stray_ = 0;
  BareNewline mode_;
  Framing framing_;
  State state_ = State::line_start;
};

} // namespace postrider::smtp

// SPDX-License-Identifier: MIT
// Content for a server without 8BITMIME (RFC 6152 section 3): a part that says of itself that it is
// 8bit or binary becomes quoted-printable, and a multipart or message around it 7bit. What does not
// say so is passed on as it is, and so are 8-bit bytes in headers. The new
// Content-Transfer-Encoding stands at the end of the part's header.
#pragma once

#include "mime/parser.hpp"

namespace postrider::mime {

// One body, line by line. Output lines have at most 76 bytes (RFC 2045 section 6.7).
class QuotedPrintable {
 public:
  // Adds a piece of a line; lines that are complete go to `out`.
  void encode(const Line& line, const Entity& entity, Sink& out);

 private:
  void flush(const Entity& entity, Sink& out);
  std::string line_;
};

class SevenBit final : public Sink {
 public:
  explicit SevenBit(Sink& next) : next_(next) {}

  void header(const Header& header, const Entity& entity) override;
  void more(const Line& line) override;
  void header_end(Where where, const Entity& entity, HeaderEnd how) override;
  void body(const Line& line, const Entity& entity) override;

  bool converted() const { return converted_; }

 private:
  Sink& next_;
  QuotedPrintable encoder_;
  bool held_back_ = false; // the current header is one that we replace
  bool converted_ = false;
};

} // namespace postrider::mime

// SPDX-License-Identifier: MIT
// What passes by while content is received or read: the facts of mail::ContentFacts, and which
// headers there are. Fed with content as it is stored (CRLF line ends, no dot-stuffing), in pieces
// of any size; remembers a bounded beginning of one line. Pure; linear in the bytes.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.hpp"
#include "mail/envelope.hpp"

namespace postrider::mail {

class ContentScanner {
 public:
  void feed(ByteView piece);

  const ContentFacts& facts() const { return facts_; }
  // Value of the first Message-ID header, one line of it at most 998 bytes; empty when absent.
  const std::string& message_id() const { return message_id_; }
  bool has_from() const { return has_from_; }
  bool has_date() const { return has_date_; }
  bool has_message_id() const { return has_message_id_; }
  bool in_header() const { return in_header_; }

 private:
  void part_of_line(ByteView part);
  void end_of_line();
  void note_length();
  void header_line();

  ContentFacts facts_;
  std::string start_; // beginning of the current header line
  std::string message_id_;
  std::uint64_t line_length_ = 0; // bytes of the current line so far, CR included
  bool in_header_ = true;
  bool last_was_cr_ = false;
  bool id_follows_ = false; // "Message-ID:" stood alone; the value is on the next line
  bool has_from_ = false;
  bool has_date_ = false;
  bool has_message_id_ = false;
};

// Length of the header, its empty line included; content.size() when there is no body.
std::size_t header_length(ByteView content);

} // namespace postrider::mail

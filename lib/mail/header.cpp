// SPDX-License-Identifier: MIT
#include "mail/header.hpp"

#include <algorithm>
#include <cstring>

#include "base/ascii.hpp"

namespace postrider::mail {
namespace {

constexpr std::size_t kRememberedLine = 1000;

bool any_8bit(ByteView bytes) {
  std::size_t i = 0;
  std::uint64_t seen = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    seen |= word;
  }
  for (; i < bytes.size(); ++i)
    seen |= static_cast<unsigned char>(bytes[i]);
  return (seen & 0x8080808080808080ULL) != 0;
}

} // namespace

void ContentScanner::feed(ByteView piece) {
  facts_.size += piece.size();
  if (!facts_.has_8bit && any_8bit(piece)) facts_.has_8bit = true;
  while (!piece.empty()) {
    const void* found = std::memchr(piece.data(), '\n', piece.size());
    if (!found) {
      part_of_line(piece);
      break;
    }
    const auto length =
        static_cast<std::size_t>(static_cast<const char*>(found) - piece.data()) + 1;
    part_of_line(piece.substr(0, length - 1));
    end_of_line();
    piece.remove_prefix(length);
  }
  facts_.ends_with_newline = line_length_ == 0;
  note_length();
}

void ContentScanner::part_of_line(ByteView part) {
  if (part.empty()) return;
  if (line_length_ == 0 && part.front() == '.') facts_.needs_dot_stuffing = true;
  line_length_ += part.size();
  last_was_cr_ = part.back() == '\r';
  if (!in_header_) return;
  if (facts_.has_8bit && !facts_.utf8_headers && any_8bit(part)) facts_.utf8_headers = true;
  if (start_.size() < kRememberedLine)
    start_.append(part.substr(0, kRememberedLine - start_.size()));
}

void ContentScanner::note_length() {
  const std::uint64_t shown = line_length_ - (last_was_cr_ ? 1 : 0);
  if (shown > facts_.longest_line)
    facts_.longest_line = static_cast<std::uint32_t>(std::min<std::uint64_t>(shown, UINT32_MAX));
}

void ContentScanner::end_of_line() {
  note_length();
  const std::uint64_t shown = line_length_ - (last_was_cr_ ? 1 : 0);
  if (in_header_) {
    facts_.header_size += static_cast<std::uint32_t>(line_length_ + 1);
    if (shown == 0) {
      in_header_ = false;
      id_follows_ = false;
      std::string().swap(start_);
    } else {
      if (!start_.empty() && start_.back() == '\r') start_.pop_back();
      header_line();
      start_.clear();
    }
  }
  line_length_ = 0;
  last_was_cr_ = false;
}

void ContentScanner::header_line() {
  const char first = start_.front();
  if (first == ' ' || first == '\t') {
    if (id_follows_) message_id_ = trim(start_);
    id_follows_ = false;
    return;
  }
  id_follows_ = false;
  const std::size_t colon = start_.find(':');
  if (colon == std::string::npos) return;
  const std::string_view name = trim_right(std::string_view(start_).substr(0, colon));
  switch (to_lower(first)) {
  case 'r':
    if (iequals(name, "Received") && facts_.hops < UINT16_MAX) ++facts_.hops;
    break;
  case 'f': has_from_ = has_from_ || iequals(name, "From"); break;
  case 'd': has_date_ = has_date_ || iequals(name, "Date"); break;
  case 'm':
    if (has_message_id_ || !iequals(name, "Message-ID")) break;
    has_message_id_ = true;
    message_id_ = trim(std::string_view(start_).substr(colon + 1));
    id_follows_ = message_id_.empty();
    break;
  default: break;
  }
}

std::size_t header_length(ByteView content) {
  if (content.substr(0, 2) == "\r\n") return 2;
  const std::size_t end = content.find("\r\n\r\n");
  return end == ByteView::npos ? content.size() : end + 4;
}

} // namespace postrider::mail

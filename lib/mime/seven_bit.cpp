// SPDX-License-Identifier: MIT
#include "mime/seven_bit.hpp"

namespace postrider::mime {
namespace {

// With a soft line break behind it, a line that has grown to 73 to 75 bytes has 76 at most.
constexpr std::size_t kFull = 72;
constexpr char kHex[] = "0123456789ABCDEF";

void append_encoded(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  out.push_back('=');
  out.push_back(kHex[byte >> 4]);
  out.push_back(kHex[byte & 15]);
}

bool is_literal(char c) { return (c >= 32 && c <= 126 && c != '=') || c == '\t'; }

// What is no domain for its type is not our business: it is said as it was meant.
std::string_view new_encoding(const ContentType& type) {
  if (type.is_global) return "quoted-printable"; // RFC 6532 section 3.5
  return type.type == Type::message || type.type == Type::multipart ? "7bit" : "quoted-printable";
}

} // namespace

void QuotedPrintable::flush(const Entity& entity, Sink& out) {
  out.body({line_, true, true}, entity);
  line_.clear();
}

void QuotedPrintable::encode(const Line& line, const Entity& entity, Sink& out) {
  for (const char c : line.text) {
    if (line_.size() > kFull) {
      line_.push_back('=');
      flush(entity, out);
    }
    if (is_literal(c))
      line_.push_back(c);
    else
      append_encoded(line_, c);
  }
  if (!line.ends) return;
  // RFC 2045 section 6.7 (3): a blank at the end of a line would be taken for padding.
  if (!line_.empty() && (line_.back() == ' ' || line_.back() == '\t')) {
    const char blank = line_.back();
    line_.pop_back();
    append_encoded(line_, blank);
  }
  flush(entity, out);
}

void SevenBit::header(const Header& header, const Entity& entity) {
  held_back_ =
      header.field.field == Field::content_transfer_encoding && entity.domain != Domain::seven_bit;
  if (!held_back_) next_.header(header, entity);
}

void SevenBit::more(const Line& line) {
  if (!held_back_) next_.more(line);
}

void SevenBit::header_end(Where where, const Entity& entity, HeaderEnd how) {
  if (entity.domain != Domain::seven_bit) {
    static constexpr std::string_view kName = "Content-Transfer-Encoding";
    const std::string text = std::string(kName) + ": " + std::string(new_encoding(entity.type));
    next_.header(Header{where, find_field(kName), text, kName.size(), true}, entity);
    converted_ = true;
  }
  next_.header_end(where, entity, how);
  // Our header would run into what was taken for a body.
  if (entity.domain != Domain::seven_bit && how == HeaderEnd::other_line) next_.body({}, entity);
}

void SevenBit::body(const Line& line, const Entity& entity) {
  if (entity.domain == Domain::seven_bit)
    next_.body(line, entity);
  else
    encoder_.encode(line, entity, next_);
}

} // namespace postrider::mime

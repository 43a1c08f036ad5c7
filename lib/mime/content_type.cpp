// SPDX-License-Identifier: MIT
#include "mime/content_type.hpp"

#include "base/ascii.hpp"

namespace postrider::mime {
namespace {

struct Token {
  enum class Kind : std::uint8_t { end, special, word, quoted } kind = Kind::end;
  char special = 0;
  std::string text;

  bool is(char c) const { return kind == Kind::special && special == c; }
  bool is(std::string_view word) const { return kind == Kind::word && iequals(text, word); }
};

// RFC 2045 section 5.1: tspecials.
bool is_special(char c) {
  return std::string_view("()<>@,;:\\\"/[]?=").find(c) != std::string_view::npos ||
         static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

class Tokens {
 public:
  explicit Tokens(std::string_view text) : text_(text) {}

  Token next() {
    skip_blanks_and_comments();
    if (at_ == text_.size()) return {};
    if (text_[at_] == '"') return quoted();
    if (is_special(text_[at_])) return {Token::Kind::special, text_[at_++], {}};
    const std::size_t from = at_;
    while (at_ < text_.size() && !is_space(text_[at_]) && !is_special(text_[at_]))
      ++at_;
    return {Token::Kind::word, 0, std::string(text_.substr(from, at_ - from))};
  }

 private:
  static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

  void skip_blanks_and_comments() {
    std::size_t depth = 0; // counted, because comments nest as deep as the sender likes
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '(')
        ++depth;
      else if (depth > 0 && c == ')')
        --depth;
      else if (depth > 0 && c == '\\' && at_ + 1 < text_.size())
        ++at_;
      else if (depth == 0 && !is_space(c))
        return;
    }
  }

  Token quoted() {
    Token token{Token::Kind::quoted, 0, {}};
    for (++at_; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == '"') {
        ++at_;
        break;
      }
      if (c == '\n') { // unfolded
        token.text.erase(token.text.find_last_not_of(" \t\r") + 1);
        continue;
      }
      if (c == '\\' && at_ + 1 < text_.size()) c = text_[++at_];
      token.text.push_back(c);
    }
    return token;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

} // namespace

ContentType parse_content_type(std::string_view value) {
  ContentType out;
  Tokens tokens(value);
  const Token type = tokens.next();
  if (type.is("text")) out.type = Type::text;
  if (type.is("message")) out.type = Type::message;
  if (type.is("multipart")) out.type = Type::multipart;
  if (out.type == Type::text || out.type == Type::other) return out;

  Token token = tokens.next();
  if (token.is('/')) {
    token = tokens.next();
    if (out.type == Type::message) {
      out.is_rfc822 = token.is("rfc822");
      out.is_global = token.is("global");
      return out;
    }
    out.is_digest = token.is("digest");
    out.is_signed = token.is("signed");
  }
  if (out.type == Type::message) return out;
  while (token.kind != Token::Kind::end) {
    // To the next parameter; what stands in between makes no sense.
    while (token.kind != Token::Kind::end && !token.is(';'))
      token = tokens.next();
    token = tokens.next();
    if (!token.is("boundary")) continue;
    token = tokens.next();
    if (!token.is('=')) continue;
    token = tokens.next();
    if (token.kind == Token::Kind::word || token.kind == Token::Kind::quoted)
      out.boundaries.push_back(token.text);
  }
  return out;
}

std::optional<Domain> parse_transfer_encoding(std::string_view value) {
  const Token token = Tokens(value).next();
  if (token.is("7bit") || token.is("quoted-printable") || token.is("base64"))
    return Domain::seven_bit;
  if (token.is("8bit")) return Domain::eight_bit;
  if (token.is("binary")) return Domain::binary;
  return std::nullopt;
}

} // namespace postrider::mime

// SPDX-License-Identifier: MIT
#include "mail/address.hpp"

#include "base/ascii.hpp"
#include "mail/domain.hpp"

namespace postrider::mail {
namespace {

constexpr bool is_atext(char c) {
  return is_alnum(c) || std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}
constexpr bool is_8bit(char c) { return static_cast<unsigned char>(c) >= 0x80; }
constexpr bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

Error bad(std::string_view what) { return Error(ErrorKind::protocol, std::string(what)); }

// Reads one mailbox from the front of a text.
class Reader {
 public:
  Reader(std::string_view text, Utf8 utf8) : text_(text), utf8_(utf8) {}

  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  bool take(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::size_t position() const { return at_; }

  // "@a,@b:" in front of the mailbox (RFC 5321 appendix C): accepted, checked, ignored.
  Result<void> skip_source_route() {
    if (peek() != '@') return {};
    while (take('@')) {
      POSTRIDER_TRY_VOID(domain(nullptr));
      if (take(':')) return {};
      if (!take(',')) return bad("malformed source route");
    }
    return bad("malformed source route");
  }

  Result<std::string> mailbox() {
    std::string out;
    POSTRIDER_TRY_VOID(local(out));
    if (out.empty()) return bad("empty local part");
    if (out.size() > kMaxLocalPart) return bad("local part too long");
    if (take('@')) {
      out.push_back('@');
      POSTRIDER_TRY_VOID(domain(&out));
    } else if (out.find('@') != std::string::npos) {
      // What is quoted behind it would pass for a domain that nobody has looked at.
      return bad("'@' in the local part, and no domain");
    }
    return out;
  }

 private:
  // Atoms, dots and quoted strings in any order: dots at odd places are common in real addresses,
  // and to_external() quotes them again.
  Result<void> local(std::string& out) {
    while (!at_end()) {
      const char c = peek();
      if (c == '"') {
        POSTRIDER_TRY_VOID(quoted(out));
      } else if (is_atext(c) || c == '.') {
        out.push_back(c);
        ++at_;
      } else if (is_8bit(c)) {
        POSTRIDER_TRY_VOID(utf8_char(out));
      } else {
        break;
      }
    }
    return {};
  }

  Result<void> quoted(std::string& out) {
    ++at_;
    while (!at_end()) {
      char c = text_[at_];
      if (c == '"') {
        ++at_;
        return {};
      }
      if (c == '\\') {
        if (++at_ >= text_.size()) break;
        c = text_[at_];
      }
      if (is_control(c)) return bad("control character in the address");
      if (is_8bit(c)) {
        POSTRIDER_TRY_VOID(utf8_char(out));
        continue;
      }
      out.push_back(c);
      ++at_;
    }
    return bad("unterminated quoted string");
  }

  Result<void> utf8_char(std::string& out) {
    if (utf8_ == Utf8::no) return bad("non-ASCII character in the address");
    const std::size_t length = utf8_length(text_.substr(at_));
    if (length == 0) return bad("malformed UTF-8 in the address");
    out.append(text_.substr(at_, length));
    at_ += length;
    return {};
  }

  Result<void> domain(std::string* out) {
    const std::size_t start = at_;
    if (peek() == '[') {
      const std::size_t end = text_.find(']', at_);
      if (end == std::string_view::npos) return bad("unterminated address literal");
      at_ = end + 1;
      const std::string_view literal = text_.substr(start, at_ - start);
      if (!is_address_literal(literal)) return bad("malformed address literal");
      if (out) out->append(literal);
      return {};
    }
    while (!at_end() &&
           (is_alnum(peek()) || peek() == '-' || peek() == '.' || peek() == '_' || is_8bit(peek())))
      ++at_;
    std::string_view name = text_.substr(start, at_ - start);
    if (name.size() > 1 && name.back() == '.') name.remove_suffix(1);
    if (!is_ascii(name)) {
      if (utf8_ == Utf8::no) return bad("non-ASCII character in the address");
      if (!is_valid_utf8(name)) return bad("malformed UTF-8 in the address");
    }
    if (!is_domain(name)) return bad("malformed domain");
    if (out) out->append(name);
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Utf8 utf8_;
};

bool is_dot_string(std::string_view local) {
  if (local.empty() || local.front() == '.' || local.back() == '.') return false;
  char before = '\0';
  for (const char c : local) {
    if (c == '.' ? before == '.' : !is_atext(c) && !is_8bit(c)) return false;
    before = c;
  }
  return true;
}

} // namespace

Result<Path> parse_path(std::string_view text, Utf8 utf8) {
  const bool bracketed = !text.empty() && text.front() == '<';
  if (bracketed && text.size() > 1 && text[1] == '>') return Path{"", 2};
  // The limit is on what is looked at, so that a long line costs no more than it may.
  Reader reader(text.substr(0, kMaxPath), utf8);
  if (bracketed) reader.take('<');
  POSTRIDER_TRY_VOID(reader.skip_source_route());
  POSTRIDER_TRY(std::string address, reader.mailbox());
  if (bracketed && !reader.take('>'))
    return bad(reader.at_end() && text.size() > kMaxPath ? "address too long"
                                                         : "malformed address");
  if (!bracketed && !reader.at_end() && reader.peek() != ' ') return bad("malformed address");
  return Path{std::move(address), reader.position()};
}

Result<std::string> parse_mailbox(std::string_view text, Utf8 utf8) {
  if (text.size() > kMaxPath) return bad("address too long");
  Reader reader(text, utf8);
  POSTRIDER_TRY(std::string address, reader.mailbox());
  if (!reader.at_end()) return bad("malformed address");
  return address;
}

std::string_view local_part(std::string_view address) {
  const std::size_t at = address.rfind('@');
  return at == std::string_view::npos ? address : address.substr(0, at);
}

std::string_view domain_part(std::string_view address) {
  const std::size_t at = address.rfind('@');
  return at == std::string_view::npos ? std::string_view() : address.substr(at + 1);
}

std::string to_external(std::string_view address) {
  const std::string_view local = local_part(address);
  if (address.empty() || is_dot_string(local)) return std::string(address);
  std::string out = "\"";
  for (const char c : local) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
  out.append(address.substr(local.size()));
  return out;
}

} // namespace postrider::mail

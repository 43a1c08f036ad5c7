// SPDX-License-Identifier: MIT
#include "mime/address_list.hpp"

#include "mail/address.hpp"

namespace postrider::mime {
namespace {

constexpr std::size_t kShortLine = 70;

struct Token {
  enum class Kind : std::uint8_t { word, comment, special } kind = Kind::special;
  std::string text;  // as it is written
  std::string plain; // of a word: without quotes; a domain literal keeps its brackets
  bool spaced = false;

  bool is(char c) const { return kind == Kind::special && text[0] == c; }
  bool is_word() const { return kind == Kind::word; }
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// RFC 5322 section 3.2.3, and what older mail routed by.
bool is_special(char c) {
  return std::string_view("()<>@,;:\\\".[]|%!").find(c) != std::string_view::npos;
}

std::string quoted(std::string_view plain, char open, char close) {
  std::string out(1, open);
  for (const char c : plain) {
    if (c == close || c == '\\' || (c == '"' && open == '"')) out.push_back('\\');
    out.push_back(c);
  }
  out.push_back(close);
  return out;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::vector<Token> all() {
    std::vector<Token> tokens;
    for (;;) {
      const std::size_t from = at_;
      while (at_ < text_.size() && is_blank(text_[at_]))
        ++at_;
      if (at_ == text_.size()) return tokens;
      const bool spaced = at_ > from;
      tokens.push_back(one());
      tokens.back().spaced = spaced;
    }
  }

 private:
  Token one() {
    const char c = text_[at_];
    if (c == '(') return comment();
    if (c == '"') {
      std::string plain = enclosed('"');
      return {Token::Kind::word, quoted(plain, '"', '"'), plain, false};
    }
    if (c == '[') {
      const std::string plain = quoted(enclosed(']'), '[', ']');
      return {Token::Kind::word, plain, plain, false};
    }
    if (c != '\\' && is_special(c)) {
      ++at_;
      return {Token::Kind::special, std::string(1, c), {}, false};
    }
    return atom();
  }

  Token comment() {
    Token token{Token::Kind::comment, {}, {}, false};
    std::size_t depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      token.text.push_back(is_blank(c) ? ' ' : c);
      if (c == '(') ++depth;
      if (c == ')' && --depth == 0) break;
      if (c == '\\' && at_ < text_.size()) token.text.push_back(text_[at_++]);
    }
    return token;
  }

  // From its first character to `close`, which may be missing.
  std::string enclosed(char close) {
    std::string plain;
    for (++at_; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == close) {
        ++at_;
        break;
      }
      if (c == '\\' && at_ + 1 < text_.size()) c = text_[++at_];
      plain.push_back(is_blank(c) ? ' ' : c);
    }
    return plain;
  }

  Token atom() {
    std::string plain;
    bool needs_quotes = false;
    for (; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == '\\' && at_ + 1 < text_.size())
        c = text_[++at_];
      else if (is_blank(c) || (is_special(c) && c != '\\'))
        break;
      const auto byte = static_cast<unsigned char>(c);
      needs_quotes = needs_quotes || is_special(c) || byte <= ' ' || byte == 0x7f;
      plain.push_back(is_blank(c) ? ' ' : c);
    }
    return {Token::Kind::word, needs_quotes ? quoted(plain, '"', '"') : plain, plain, false};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

// A route in front (RFC 5321 section 4.1.1.3) is no part of the local part.
std::string external(const std::string& address) {
  const std::size_t colon = address.find(':');
  if (!address.starts_with('@') || colon == std::string::npos) return mail::to_external(address);
  return address.substr(0, colon + 1) +
         mail::to_external(std::string_view(address).substr(colon + 1));
}

} // namespace

// Takes the list apart from left to right; an entry is what stands between commas.
class AddressList::Reader {
 public:
  Reader(AddressList& out, std::vector<Token> tokens) : out_(out), tokens_(std::move(tokens)) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (tokens_[i].is(';')) last_semicolon_ = i;
      if (tokens_[i].is('>')) last_close_ = i;
    }
  }

  void read() {
    while (at_ < tokens_.size()) {
      if (tokens_[at_].is(',') || tokens_[at_].is(';')) {
        const bool group_ends = tokens_[at_].is(';');
        loose(at_++);
        if (group_ends) comma_if_missing();
      } else {
        entry();
      }
    }
  }

 private:
  void add(Kind kind, std::string text, bool spaced) {
    if (kind == Kind::address) out_.addresses_.push_back(out_.items_.size());
    out_.items_.push_back({kind, std::move(text), spaced});
  }
  void loose(std::size_t i) {
    const bool mark = tokens_[i].kind == Token::Kind::special;
    add(mark ? Kind::mark : Kind::word, tokens_[i].text, tokens_[i].spaced);
  }

  // Behind what ended an address for certain: whatever comes is another one.
  void comma_if_missing() {
    std::size_t next = at_;
    while (next < tokens_.size() && tokens_[next].kind == Token::Kind::comment)
      ++next;
    if (next == tokens_.size() || tokens_[next].is(',') || tokens_[next].is(';')) return;
    if (tokens_[next].is('<')) return;
    while (at_ < next)
      loose(at_++);
    add(Kind::mark, ",", false);
  }

  void entry() {
    std::size_t end = at_;
    for (; end < tokens_.size(); ++end) {
      const Token& token = tokens_[end];
      if (token.is(',') || token.is(';')) break;
      if (token.is(':') && end < last_semicolon_) {
        while (at_ < end)
          loose(at_++);
        add(Kind::group, ":", false);
        ++at_;
        return;
      }
      if (!token.is('<') || end >= last_close_) continue;
      std::size_t close = end + 1;
      while (!tokens_[close].is('>'))
        ++close;
      while (at_ <= end)
        loose(at_++); // the phrase and '<'
      addresses(close);
      loose(at_++);
      comma_if_missing();
      return;
    }
    addresses(end);
  }

  // Up to `end` there is an address, or several with no comma between them: words side by side
  // belong to different ones. Comments go behind the address they stand in.
  void addresses(std::size_t end) {
    std::string address;
    std::vector<std::size_t> comments;
    bool had_word = false;
    const auto finish = [&] {
      if (!address.empty()) add(Kind::address, std::move(address), true);
      address.clear();
      for (const std::size_t i : comments)
        loose(i);
      comments.clear();
    };
    for (; at_ < end; ++at_) {
      const Token& token = tokens_[at_];
      if (token.kind == Token::Kind::comment) {
        comments.push_back(at_);
        continue;
      }
      if (token.is_word() && had_word) {
        finish();
        add(Kind::mark, ",", false);
      }
      had_word = token.is_word();
      address += token.is_word() ? token.plain : token.text;
    }
    finish();
  }

  AddressList& out_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::size_t last_semicolon_ = 0; // a colon before it ends a group's name
  std::size_t last_close_ = 0;     // of '>': a '<' behind it opens nothing
};

AddressList AddressList::parse(std::string_view value) {
  AddressList list;
  Reader(list, Scanner(value).all()).read();
  return list;
}

std::string AddressList::format(std::string_view name) const {
  std::string out(name);
  out += ':';
  std::size_t line = 0;    // where the current line begins
  std::string piece = " "; // an entry up to its comma, and the space before it
  const auto end_of_piece = [&] {
    if (line > 0 || out.size() > name.size() + 1) {
      if (out.size() - line + piece.size() >= kShortLine) {
        out += "\n\t";
        line = out.size();
        piece.erase(0, 1);
      }
    }
    out += piece;
    piece = " ";
  };
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    piece += item.kind == Kind::address ? external(item.text) : item.text;
    if (item.kind == Kind::mark && item.text == ",") {
      end_of_piece();
      continue;
    }
    if (i + 1 == items_.size()) break;
    const Item& next = items_[i + 1];
    const auto solid = [](const Item& x) {
      return x.kind == Kind::word || x.kind == Kind::address;
    };
    const bool dot = item.kind == Kind::mark && item.text == "." && next.spaced;
    if (item.kind == Kind::group || (next.kind == Kind::mark && next.text == "<") ||
        (solid(next) && (solid(item) || dot)))
      piece += ' ';
  }
  if (!items_.empty()) end_of_piece();
  return out;
}

} // namespace postrider::mime

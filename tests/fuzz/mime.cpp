// SPDX-License-Identifier: MIT
// Messages taken apart: headers, parts, 8-bit bodies made 7-bit. Whatever comes in goes out,
// however it is cut.
#include "base/ascii.hpp"
#include "fuzz/target.hpp"
#include "mime/address_list.hpp"
#include "mime/parser.hpp"
#include "mime/seven_bit.hpp"

namespace {
using namespace postrider;

// Writes down everything it is given, and what it was told about it.
class Writer final : public mime::Sink {
 public:
  void header(const mime::Header& header, const mime::Entity&) override {
    POSTRIDER_CHECK(header.name_length > 0 && header.name_length < header.text.size());
    facts += 'h';
    for (const char c : header.text)
      text += c == '\n' ? std::string("\r\n") : std::string(1, c);
    if (header.ends) text += "\r\n";
    if (header.field.addresses && header.whole) list(header);
  }
  void more(const mime::Line& line) override { put('m', line); }
  void header_end(mime::Where where, const mime::Entity& entity, mime::HeaderEnd how) override {
    facts += 'e';
    facts += static_cast<char>('0' + static_cast<int>(where));
    facts += static_cast<char>('0' + static_cast<int>(how));
    facts += static_cast<char>('0' + static_cast<int>(entity.domain));
  }
  void body(const mime::Line& line, const mime::Entity& entity) override {
    put('b', line);
    facts += static_cast<char>('0' + static_cast<int>(entity.domain));
  }

  std::string text, facts;

 private:
  void put(char kind, const mime::Line& line) {
    facts += line.begins ? kind : '+';
    text.append(line.text);
    if (line.ends) text += "\r\n";
  }
  // Written anew it is one header still.
  static void list(const mime::Header& header) {
    auto addresses = mime::AddressList::parse(header.value());
    for (std::size_t i = 0; i < addresses.size(); ++i)
      addresses.set_address(i, addresses.address(i) + ".example");
    const std::string out = addresses.format(header.name());
    for (std::size_t at = out.find('\n'); at != out.npos; at = out.find('\n', at + 1))
      POSTRIDER_CHECK(at + 1 < out.size() && (out[at + 1] == ' ' || out[at + 1] == '\t'), out);
  }
};

struct Ran {
  std::string text, facts;
  bool too_deep = false, converted = false;
  bool operator==(const Ran&) const = default;
};

Ran run(ByteView content, std::size_t piece, const mime::Limits& limits, unsigned how) {
  Writer writer;
  mime::SevenBit seven_bit(writer);
  const bool converts = how == 3;
  mime::Parser parser(limits, static_cast<mime::Parser::Depth>(converts ? 2 : how),
                      converts ? static_cast<mime::Sink&>(seven_bit) : writer);
  for (; !content.empty(); content.remove_prefix(std::min(piece, content.size())))
    parser.feed(content.substr(0, piece));
  parser.finish();
  return {writer.text, writer.facts, parser.too_deep(), converts && seven_bit.converted()};
}

// As it is stored: CR LF line ends only.
std::string stored(ByteView input) {
  std::string out;
  for (const char c : input) {
    if (c == '\r' || c == '\0') continue;
    if (c == '\n') out.push_back('\r');
    out.push_back(c);
  }
  return out;
}

} // namespace

FUZZ(input) {
  const unsigned options = fuzz::take_byte(input);
  const std::string content = stored(input);
  mime::Limits limits;
  if ((options & 4) != 0) limits = {.header = 60, .nesting = 3, .boundary = 8, .line = 32};
  const unsigned how = options & 3;
  const Ran whole = run(content, content.size() + 1, limits, how);
  const Ran pieces = run(content, 1 + (options >> 4), limits, how);
  POSTRIDER_CHECK(whole == pieces, "cut into pieces");
  if (how != 3) {
    // Only the line end that the content may lack is more.
    POSTRIDER_CHECK(whole.text == content || whole.text == content + "\r\n", "what goes out");
  }
  const auto type = mime::parse_content_type(content);
  POSTRIDER_CHECK(type.boundaries.size() <= content.size());
  (void)mime::parse_transfer_encoding(content);
  (void)mime::find_field(content);
}

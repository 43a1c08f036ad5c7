// SPDX-License-Identifier: MIT
// Message content on its way in (dots, BDAT) and out (dots, long lines). However it is cut, the
// same message comes out; nothing that comes out can be taken for the end of the data.
#include "fuzz/target.hpp"
#include "mail/header.hpp"
#include "smtp/dot.hpp"

namespace {
using namespace postrider;

struct Decoded {
  std::string content;
  std::size_t consumed = 0;
  bool ended = false, rejected = false;
  mail::ContentFacts facts;
  std::string message_id;
  bool operator==(const Decoded&) const = default;
};

Decoded decode(ByteView input, std::size_t piece, smtp::BareNewline mode, smtp::Framing framing) {
  Decoded out;
  smtp::DataDecoder decoder(mode, framing);
  while (!input.empty() && !out.ended) {
    const ByteView in = input.substr(0, piece);
    const auto fed = decoder.feed(in, out.content);
    POSTRIDER_CHECK(fed.consumed <= in.size() && (fed.ended || fed.consumed == in.size()));
    out.consumed += fed.consumed;
    out.ended = fed.ended;
    input.remove_prefix(fed.consumed);
  }
  if (framing == smtp::Framing::chunk) decoder.finish(out.content);
  out.rejected = decoder.rejected();
  out.facts = decoder.facts();
  out.message_id = decoder.scanner().message_id();
  return out;
}

void check_content(const Decoded& got) {
  const std::string& text = got.content;
  POSTRIDER_CHECK(got.facts.size == text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') POSTRIDER_CHECK(i > 0 && text[i - 1] == '\r', "a bare LF");
    if (text[i] == '\r' && (i + 1 < text.size() || got.ended))
      POSTRIDER_CHECK(i + 1 < text.size() && text[i + 1] == '\n', "a bare CR");
    POSTRIDER_CHECK(text[i] != '\0');
  }
  POSTRIDER_CHECK(got.facts.needs_dot_stuffing ==
                  (text.starts_with('.') || text.find("\r\n.") != std::string::npos));
}

std::string fold(ByteView content, std::size_t piece, std::size_t limit, smtp::Framing framing) {
  smtp::LineFolder folder(limit, framing);
  std::string out;
  for (; !content.empty(); content.remove_prefix(std::min(piece, content.size())))
    folder.append(out, content.substr(0, piece));
  return out;
}

} // namespace

FUZZ(input) {
  const unsigned options = fuzz::take_byte(input);
  const auto mode = (options & 1) != 0 ? smtp::BareNewline::reject : smtp::BareNewline::normalize;
  const auto framing = (options & 2) != 0 ? smtp::Framing::chunk : smtp::Framing::dot;
  const std::size_t piece = 1 + (options >> 4);
  const Decoded whole = decode(input, input.size() + 1, mode, framing);
  POSTRIDER_CHECK(whole == decode(input, piece, mode, framing), "cut into pieces");
  check_content(whole);

  // Sent on, it is the same message again, and ends where it ends.
  std::string wire;
  bool at_line_start = true;
  smtp::append_stuffed(wire, whole.content, at_line_start);
  if (at_line_start && whole.content.ends_with("\r\n")) {
    const Decoded again = decode(wire + ".\r\nQUIT\r\n", piece, mode, smtp::Framing::dot);
    POSTRIDER_CHECK(again.ended && again.consumed == wire.size() + 3 &&
                        again.content == whole.content,
                    "sent on");
  }
  // The same for content that is not as it should be.
  const std::size_t limit = (options & 4) != 0 ? 20 : 998;
  const std::string folded = fold(input, input.size() + 1, limit, framing);
  POSTRIDER_CHECK(folded == fold(input, piece, limit, framing), "folded in pieces");
  if (framing == smtp::Framing::dot) {
    std::string sent;
    smtp::LineFolder folder(limit, framing);
    folder.append(sent, std::string(input) + "\r\n");
    const Decoded again = decode(sent + ".\r\n", 64, smtp::BareNewline::reject, framing);
    POSTRIDER_CHECK(again.ended && again.consumed == sent.size() + 3 && !again.rejected,
                    "folded and sent on");
    POSTRIDER_CHECK(again.facts.longest_line <= limit);
  }
  (void)mail::header_length(input);
}

// SPDX-License-Identifier: MIT
// What a server says: replies, and the features among them. However the bytes are cut, the same
// replies come out.
#include <optional>

#include "fuzz/target.hpp"
#include "smtp/ehlo.hpp"
#include "smtp/reply.hpp"

namespace {
using namespace postrider;

struct Heard {
  std::vector<smtp::Reply> replies;
  std::optional<ErrorKind> error;
  bool by_lines = false;
};

Heard hear(ByteView input, std::size_t piece, const smtp::ReplyParser::Limits& limits, bool lines) {
  Heard heard;
  smtp::ReplyParser parser(limits);
  std::string waiting;
  while (!input.empty()) {
    waiting = input.substr(0, piece);
    input.remove_prefix(waiting.size());
    ByteView in = waiting;
    while (!in.empty()) {
      const std::size_t had = in.size();
      Result<bool> whole = lines ? parser.feed_line(in) : parser.feed(in);
      if (whole && *whole && lines) whole = parser.take_line(std::string(parser.line()));
      if (!whole) {
        heard.error = whole.error().kind();
        return heard;
      }
      POSTRIDER_CHECK(in.size() < had, "the parser takes bytes");
      if (*whole) heard.replies.push_back(parser.take());
    }
  }
  return heard;
}

bool same(const Heard& a, const Heard& b) {
  if (a.error != b.error || a.replies.size() != b.replies.size()) return false;
  for (std::size_t i = 0; i < a.replies.size(); ++i)
    if (a.replies[i].code != b.replies[i].code || a.replies[i].dsn != b.replies[i].dsn ||
        a.replies[i].text != b.replies[i].text)
      return false;
  return true;
}

} // namespace

FUZZ(input) {
  const unsigned options = fuzz::take_byte(input);
  // Small limits, so that short inputs reach them.
  const smtp::ReplyParser::Limits limits =
      (options & 1) != 0 ? smtp::ReplyParser::Limits{40, 100} : smtp::ReplyParser::Limits{};
  const Heard whole = hear(input, input.size() + 1, limits, false);
  POSTRIDER_CHECK(same(whole, hear(input, 1, limits, false)), "cut into bytes");
  POSTRIDER_CHECK(same(whole, hear(input, 7, limits, true)), "line by line");
  for (const smtp::Reply& reply : whole.replies) {
    POSTRIDER_CHECK(reply.code >= 200 && reply.code <= 599);
    POSTRIDER_CHECK(log::printable(reply.joined("|")) == reply.joined("|"), "fit for the log");
    POSTRIDER_CHECK(!reply.status().empty() && (reply.dsn.empty() || reply.dsn == reply.status()));
    const smtp::Features features = smtp::parse_features(reply, {"DSN"});
    POSTRIDER_CHECK(!features.dsn);
    (void)smtp::first_word(reply);
  }
}

// SPDX-License-Identifier: MIT
#include "smtp/ehlo.hpp"

#include "base/ascii.hpp"

namespace postrider::smtp {
namespace {

bool is_discarded(std::string_view word, const std::vector<std::string>& discard) {
  for (const std::string& keyword : discard)
    if (iequals(word, keyword)) return true;
  return false;
}

// What stands behind the keyword, a blank between the words.
std::string joined(const std::vector<std::string_view>& words) {
  std::string out;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (i > 1) out.push_back(' ');
    out.append(words[i]);
  }
  return out;
}

// "AUTH PLAIN LOGIN" and "AUTH=PLAIN LOGIN" may both be there, for clients of old.
void add_mechanisms(Features& f, const std::vector<std::string_view>& words) {
  if (!f.auth) f.auth.emplace();
  for (std::size_t i = 1; i < words.size(); ++i) {
    bool known = false;
    for (const std::string_view one : split(*f.auth, " "))
      known = known || iequals(one, words[i]);
    if (known) continue;
    if (!f.auth->empty()) f.auth->push_back(' ');
    f.auth->append(words[i]);
  }
}

} // namespace

Features parse_features(const Reply& reply, const std::vector<std::string>& discard) {
  Features f;
  f.esmtp = true;
  std::string_view rest = reply.text;
  bool first = true;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() == rest.size() ? rest.size() : line.size() + 1);
    if (std::exchange(first, false) || line.size() <= 4) continue;
    const auto words = split(line.substr(4), " \t="); // "AUTH=LOGIN" of old servers as well
    if (words.empty() || is_discarded(words[0], discard)) continue;
    const std::string_view word = words[0];
    if (iequals(word, "PIPELINING"))
      f.pipelining = true;
    else if (iequals(word, "8BITMIME"))
      f.eight_bit_mime = true;
    else if (iequals(word, "DSN"))
      f.dsn = true;
    else if (iequals(word, "SMTPUTF8"))
      f.smtputf8 = f.eight_bit_mime = true; // RFC 6531 section 3.1: one implies the other
    else if (iequals(word, "ENHANCEDSTATUSCODES"))
      f.enhanced_status = true;
    else if (iequals(word, "CHUNKING"))
      f.chunking = true;
    else if (iequals(word, "STARTTLS"))
      f.starttls = true;
    else if (iequals(word, "XFORWARD"))
      f.xforward = joined(words);
    else if (iequals(word, "SIZE")) {
      f.size = true;
      // A number that is none, or beyond 2^64, is as good as no limit.
      const auto limit = words.size() > 1 ? parse_decimal(words[1]) : std::nullopt;
      f.size_limit = limit.value_or(0);
    } else if (iequals(word, "AUTH")) {
      add_mechanisms(f, words);
    }
  }
  return f;
}

std::string_view first_word(const Reply& reply) {
  std::string_view text = reply.text;
  if (text.size() <= 4) return {};
  text = trim(
      text.substr(4, text.find('\n') == std::string_view::npos ? text.npos : text.find('\n') - 4));
  return text.substr(0, text.find_first_of(" \t"));
}

} // namespace postrider::smtp

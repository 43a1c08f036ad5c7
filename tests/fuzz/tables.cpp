// SPDX-License-Identifier: MIT
// Text of tables: keys and values, networks, POSIX and Perl patterns. The first byte chooses the
// kind; the first line of the rest is a key.
#include "base/ascii.hpp"
#include "fuzz/target.hpp"
#include "maps/cidr.hpp"
#include "maps/pattern_table.hpp"
#include "maps/text_table.hpp"

namespace {
using namespace postrider;

void check_problems(const maps::Problems& problems) {
  for (const std::string& text : problems.texts())
    POSTRIDER_CHECK(text.starts_with("table"));
}

void text_table(ByteView text, const std::string& key) {
  maps::Problems problems("table");
  const maps::TextTable table = maps::parse_text_table(text, problems);
  std::size_t rows = 0;
  maps::Problems again("table");
  const auto read = maps::for_each_row(
      text, again,
      [&](std::size_t line, std::string_view name, std::string_view value) -> Result<void> {
        POSTRIDER_CHECK(line > 0 && !name.empty() && value.find('\n') == value.npos);
        POSTRIDER_CHECK(table.count(lowercase(name)) == 1, name);
        ++rows;
        return {};
      });
  POSTRIDER_CHECK(read.ok() && table.size() <= rows);
  (void)table.find(key);
  check_problems(problems);
}

void cidr_table(ByteView text, const std::string& key) {
  maps::Problems problems("table");
  const auto table = maps::CidrTable::parse(text, problems);
  for (const std::string_view one :
       {std::string_view(key), std::string_view("192.0.2.1"), std::string_view("2001:db8::1")})
    if (const auto address = maps::parse_address(one)) (void)table.find(*address);
  check_problems(problems);
}

void patterns(ByteView text, const std::string& key, const maps::Dialect& dialect,
              bool substitution) {
  maps::Problems problems("table");
  const auto table = maps::PatternTable::parse(text, dialect, problems, substitution);
  const auto answer = table.find(key);
  if (!answer) POSTRIDER_CHECK(!answer.error().text().empty());
  check_problems(problems);
}

// The C library copies what is repeated, each time over again, and tries back-references without
// end: an administrator's affair, and not ours.
bool is_endless(ByteView text) {
  std::size_t repeated = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    repeated += std::string_view("+*?{").find(text[i]) != std::string_view::npos;
    if (text[i] == '\\' && i + 1 < text.size() && is_digit(text[i + 1])) return true;
    if (text[i] == '{' && i + 2 < text.size() && is_digit(text[i + 2])) return true;
  }
  return repeated > 8;
}

} // namespace

FUZZ(input) {
  const unsigned kind = fuzz::take_byte(input);
  const std::size_t end = std::min(input.find('\n'), input.size());
  const std::string key(input.substr(0, std::min<std::size_t>(end, 200)));
  const ByteView text = input.substr(std::min(input.size(), end + 1)).substr(0, 2000);
  switch (kind % 4) {
  case 0: return text_table(text, key);
  case 1: return cidr_table(text, key);
  case 2:
    if (!is_endless(text)) patterns(text, key, maps::kRegexp, kind < 128);
    return;
  default: return patterns(text, key, maps::kPcre, kind < 128);
  }
}

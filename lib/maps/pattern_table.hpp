// SPDX-License-Identifier: MIT
// Tables of patterns, regexp: and pcre:. Rules are tried in order, the first that holds counts:
//
//   /pattern/flags result        any delimiter; $1, ${1} and $(1) stand for what a ( ) matched
//   !/pattern/flags result       when the pattern does not match
//   if /pattern/flags ... endif  the rules between count only when it does; also if !/pattern/
//
// Pure. Bytes, not characters: UTF-8 is not looked into.
#pragma once

#include "maps/map.hpp"
#include "maps/pattern.hpp"
#include "maps/problems.hpp"

namespace postrider::maps {

class PatternTable {
 public:
  // Without `substitution`, rules with $1 are wrong.
  static PatternTable parse(std::string_view text, const Dialect& dialect, Problems& problems,
                            bool substitution = true);
  // The key is matched as it is. Error limit: a pattern needs too much work; says which.
  Answer find(std::string_view key) const;

 private:
  struct Piece {
    std::string text;
    std::size_t group = 0; // not 0: this group's text instead
  };
  struct Rule {
    std::unique_ptr<Pattern> pattern; // null: an if that could not be understood, never true
    bool negated = false;
    bool is_block = false;
    bool wants_groups = false;
    std::vector<Piece> result;
    std::size_t end = 0; // of a block: the first rule behind it
    std::size_t line = 0;
  };
  class Reader;

  Result<bool> holds(const Rule& rule, std::string_view key,
                     std::vector<std::string_view>& groups) const;

  std::vector<Rule> rules_;
  std::string name_; // for messages
};

} // namespace postrider::maps

// SPDX-License-Identifier: MIT
// One regular expression, compiled. Two dialects: regexp.cpp (POSIX), pcre.cpp (PCRE2).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace postrider::maps {

class Pattern {
 public:
  virtual ~Pattern() = default;
  // Whether it matches somewhere in `text`. `groups`, unless null, then holds what each ( ) matched
  // (empty where it took no part); [0] is all of the match. Error limit: too much work.
  virtual Result<bool> match(std::string_view text,
                             std::vector<std::string_view>* groups) const = 0;
  virtual std::size_t group_count() const = 0;
};

struct Dialect {
  std::string_view name; // of the table type
  // `flags` are the letters behind the pattern, each toggles an option. Error config says what is
  // wrong; `complain` is told of what can be ignored.
  Result<std::unique_ptr<Pattern>> (*compile)(const std::string& pattern, std::string_view flags,
                                              const std::function<void(std::string)>& complain);
};

extern const Dialect kRegexp; // flags i (on), m, x (on); regex(7)
extern const Dialect kPcre;   // flags i (on), m, s (on), x, A, E, U, X; pcre2pattern(3)

} // namespace postrider::maps

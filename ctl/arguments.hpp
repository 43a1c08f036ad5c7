// SPDX-License-Identifier: MIT
// The command line of one sub-command: options by name, the rest as words.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace postrider::ctl {

struct Option {
  std::string_view name;  // "dry-run"; "dry-run,n" gives it a letter too
  std::string_view value; // what it takes, for the help text; empty: nothing
  std::string_view help;
};

class Arguments {
 public:
  bool has(const std::string& name) const { return values_.count(name) != 0; }
  // The last one given; `otherwise` when there is none.
  std::string value(const std::string& name, std::string_view otherwise = "") const;
  std::vector<std::string> values(const std::string& name) const;
  // A number in [least, most]. Error config names the option.
  Result<std::uint64_t> number(const std::string& name, std::uint64_t otherwise,
                               std::uint64_t least, std::uint64_t most) const;
  const std::vector<std::string>& words() const { return words_; }

 private:
  friend Result<Arguments> parse_arguments(const std::vector<std::string>&,
                                           const std::vector<Option>&);
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> words_;
};

// Options may stand between words; "--" ends them. Error config says what is wrong.
Result<Arguments> parse_arguments(const std::vector<std::string>& line,
                                  const std::vector<Option>& options);

// "  --limit N   at most N messages\n": one line for each.
std::string describe_options(const std::vector<Option>& options);

} // namespace postrider::ctl

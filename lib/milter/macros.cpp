// SPDX-License-Identifier: MIT
#include "milter/macros.hpp"

#include "base/ascii.hpp"
#include "milter/protocol.hpp"

namespace postrider::milter {

std::vector<std::string> parse_macro_names(std::string_view text) {
  std::vector<std::string> names;
  for (std::string_view word : split(text, " \t\r\n,{}"))
    names.emplace_back(word);
  return names;
}

std::string macro_data(const std::vector<std::string>& names, const Macros& source,
                       const std::map<std::string, std::string>& defaults) {
  std::string out;
  for (const std::string& name : names) {
    std::optional<std::string> value = source.value(name);
    if (!value) {
      const auto fallback = defaults.find(name);
      if (fallback == defaults.end()) continue;
      value = fallback->second;
    }
    put_string(out, name.size() == 1 ? name : "{" + name + "}");
    put_string(out, *value);
  }
  return out;
}

} // namespace postrider::milter

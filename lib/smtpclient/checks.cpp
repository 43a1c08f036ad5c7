// SPDX-License-Identifier: MIT
#include "smtpclient/checks.hpp"

#include "base/ascii.hpp"
#include "base/check.hpp"
#include "mime/header_name.hpp"

namespace postrider::smtpclient {
namespace {

using Action = Check::Action;

constexpr struct {
  std::string_view word;
  Action action;
} kActions[] = {
    {"WARN", Action::warn},       {"INFO", Action::info},     {"REPLACE", Action::replace},
    {"PREPEND", Action::prepend}, {"IGNORE", Action::ignore}, {"STRIP", Action::strip},
    {"DUNNO", Action::none},      {"OK", Action::none},
};

} // namespace

Check parse_check(std::string_view answer, Part part, std::string_view table) {
  const std::size_t end = std::min(answer.find_first_of(" \t"), answer.size());
  const std::string_view word = answer.substr(0, end);
  std::string_view text = answer.substr(end);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n\v\f"), text.size()));
  const auto no = [](std::string why) { return Check{Action::none, {}, std::move(why)}; };
  for (const auto& row : kActions) {
    if (!iequals(word, row.word)) continue;
    if (row.action == Action::replace || row.action == Action::prepend) {
      const std::string action(row.word);
      const std::string where = " in " + std::string(table) + " map";
      if (text.empty()) return no(action + " action without text" + where);
      if (part == Part::header && mime::field_name_length(text) == 0)
        return no("bad " + action + " header text \"" + std::string(text) + "\"" + where +
                  " -- need \"headername: headervalue\"");
    }
    return Check{row.action, std::string(text), {}};
  }
  return no("unsupported command in " + std::string(table) + " map: " + std::string(answer));
}

std::string_view name(Action action) {
  switch (action) {
  case Action::none: return "dunno";
  case Action::warn: return "warning";
  case Action::info: return "info";
  case Action::replace: return "replace";
  case Action::prepend: return "prepend";
  case Action::ignore: return "ignore";
  case Action::strip: return "strip";
  }
  POSTRIDER_UNREACHABLE();
}

} // namespace postrider::smtpclient

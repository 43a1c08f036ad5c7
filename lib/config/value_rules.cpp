// SPDX-License-Identifier: MIT
#include "config/value_rules.hpp"

#include "base/ascii.hpp"
#include "base/words.hpp"
#include "config/units.hpp"

namespace postrider::config {

namespace {

// A century: sums of two such times and a date stay far from overflow.
constexpr std::int64_t kLongestTime = std::int64_t{100} * 365 * 86400 * 1000;

Error wrong(std::string text) { return Error(ErrorKind::config, std::move(text)); }

std::string join_choices(std::string_view choices) {
  std::string text;
  std::size_t start = 0;
  while (true) {
    const std::size_t bar = choices.find('|', start);
    const std::string_view word = choices.substr(start, bar - start);
    text += (text.empty() ? "" : ", ") + (word.empty() ? "(empty)" : std::string(word));
    if (bar == std::string_view::npos) return text;
    start = bar + 1;
  }
}

// The value as it was seen, where $names made it another one than was written.
std::string seen(const Value& value) {
  return value.text == value.raw ? std::string() : "\"" + shown(value.text) + "\" ";
}

Result<void> judge_words(const Parameter& p, Value& value) {
  auto words = split_words(value.text);
  if (!words) return words.error();
  for (const std::string& word : *words)
    if (!p.choices.empty() && !is_choice(p.choices, word))
      return wrong("\"" + shown(word) +
                   "\" is not known to this version; words are: " + join_choices(p.choices));
  value.words = *std::move(words);
  return {};
}

Result<void> judge_time(const Parameter& p, Value& value) {
  const auto time = parse_time(value.text, p.unit);
  if (!time)
    return wrong(seen(value) + "is not a time; write a number with s, m, h, d or w, such as " +
                 (p.initial.find('$') == std::string_view::npos ? std::string(p.initial) : "300s"));
  if (*time < p.least)
    return wrong(seen(value) + "is too short; use at least " + show_time(p.least));
  if (*time > kLongestTime)
    return wrong(seen(value) + "is too long; use at most " + show_time(kLongestTime));
  value.number = *time;
  return {};
}

Result<void> judge_range(const Parameter& p, Value& value, std::optional<std::int64_t> number) {
  if (!number)
    return wrong(seen(value) + (p.type == Type::size
                                    ? "is not a size; write bytes, or a number with k, m or g"
                                    : "is not a number; write digits only"));
  if (*number < p.least)
    return wrong(seen(value) + "is too small; use at least " + std::to_string(p.least));
  if (*number > p.most)
    return wrong(seen(value) + "is too large; use at most " + std::to_string(p.most));
  value.number = *number;
  return {};
}

} // namespace

std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 80;
  return text.size() <= kMost ? std::string(text) : std::string(text.substr(0, kMost)) + "...";
}

bool is_choice(std::string_view choices, std::string_view value) {
  std::size_t start = 0;
  while (true) {
    const std::size_t bar = choices.find('|', start);
    if (iequals(choices.substr(start, bar - start), value)) return true;
    if (bar == std::string_view::npos) return false;
    start = bar + 1;
  }
}

Result<void> judge_value(const Parameter& p, Value& value) {
  switch (p.type) {
  case Type::text:
    if (p.status != Status::unsafe || value.text.empty() || is_choice(p.choices, value.text))
      return {};
    return wrong(std::string(p.about) + "; " +
                 (p.choices.empty() ? "remove the line"
                                    : "use " + join_choices(p.choices) + ", or remove the line"));
  case Type::words: return judge_words(p, value);
  case Type::flag: {
    const auto flag = parse_flag(value.text);
    if (!flag) return wrong(seen(value) + "is neither yes nor no");
    value.number = *flag ? 1 : 0;
    return {};
  }
  case Type::choice:
    if (!is_choice(p.choices, value.text))
      return wrong(seen(value) + "must be one of: " + join_choices(p.choices));
    value.text = lowercase(value.text);
    return {};
  case Type::time: return judge_time(p, value);
  case Type::number: return judge_range(p, value, parse_number(value.text));
  case Type::size: return judge_range(p, value, parse_size(value.text));
  }
  return {};
}

} // namespace postrider::config

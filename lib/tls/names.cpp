// SPDX-License-Identifier: MIT
#include "tls/names.hpp"

#include <algorithm>

#include "base/ascii.hpp"

namespace postrider::tls {
namespace {

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alnum(c) || c == '-' || c == '.' || c == '_';
  });
}

// Whether `name` is one label and then `tail`, which begins with a dot.
bool is_one_below(std::string_view name, std::string_view tail) {
  const std::size_t dot = name.find('.');
  return dot != std::string_view::npos && dot > 0 && iequals(name.substr(dot), tail);
}

} // namespace

bool name_matches(std::string_view expected, std::string_view presented) {
  const bool is_wildcard = presented.starts_with("*.");
  const std::string_view tail = is_wildcard ? presented.substr(1) : presented;
  const bool any_label = expected.starts_with("*.");
  if (any_label) expected.remove_prefix(1);
  if (!is_name(tail) || !is_name(expected)) return false;
  if (is_wildcard && std::count(tail.begin(), tail.end(), '.') < 2) return false; // "*.com"
  if (any_label) return is_one_below(presented, expected);
  if (expected.front() == '.')
    return presented.size() > expected.size() &&
           iequals(presented.substr(presented.size() - expected.size()), expected);
  if (!is_wildcard) return iequals(presented, expected);
  return is_one_below(expected, tail);
}

} // namespace postrider::tls

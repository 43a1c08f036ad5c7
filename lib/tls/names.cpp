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

} // namespace

bool name_matches(std::string_view expected, std::string_view presented) {
  const bool is_wildcard = presented.starts_with("*.");
  const std::string_view tail = is_wildcard ? presented.substr(1) : presented;
  if (!is_name(tail) || !is_name(expected)) return false;
  if (is_wildcard && std::count(tail.begin(), tail.end(), '.') < 2) return false; // "*.com"
  if (expected.front() == '.')
    return presented.size() > expected.size() &&
           iequals(presented.substr(presented.size() - expected.size()), expected);
  if (!is_wildcard) return iequals(presented, expected);
  const std::size_t dot = expected.find('.');
  return dot != std::string_view::npos && dot > 0 && iequals(expected.substr(dot), tail);
}

} // namespace postrider::tls

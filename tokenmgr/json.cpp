// SPDX-License-Identifier: MIT
#include "json.hpp"

#include <nlohmann/json.hpp>

namespace postrider::tokenmgr {
namespace {

constexpr std::size_t kDeepest = 20;

// nlohmann's parser goes as deep as its input; what we read is flat.
bool is_shallow(std::string_view text) {
  std::size_t depth = 0;
  for (const char c : text) {
    if ((c == '{' || c == '[') && ++depth > kDeepest) return false;
    if ((c == '}' || c == ']') && depth > 0) --depth;
  }
  return true;
}

} // namespace

Result<std::map<std::string, std::string>> members_of(std::string_view text) {
  const Error wrong(ErrorKind::protocol, "not a JSON object");
  if (!is_shallow(text)) return wrong;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return wrong;
  std::map<std::string, std::string> members;
  for (const auto& [name, value] : json.items()) {
    if (value.is_string())
      members.emplace(name, value.get<std::string>());
    else if (value.is_number())
      members.emplace(name, value.dump());
  }
  return members;
}

std::string with_member(std::string_view text, const std::string& name, const std::string& value) {
  auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  json[name] = value;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

} // namespace postrider::tokenmgr

// SPDX-License-Identifier: MIT
#include "smtp/xforward.hpp"

#include "base/ascii.hpp"
#include "smtp/xtext.hpp"

namespace postrider::smtp {
namespace {

constexpr std::string_view kVerb = "XFORWARD";
constexpr std::size_t kMaxLine = 512; // CRLF included

bool announces(const Features& features, std::string_view name) {
  for (const std::string_view one : split(features.xforward, " "))
    if (iequals(one, name)) return true;
  return false;
}

} // namespace

std::vector<std::string> xforward_commands(const Origin& origin, const Features& features) {
  const mail::Envelope& from = *origin.envelope;
  const mail::Forwarded& before = from.forwarded;
  const auto first = [&](const std::string& told, const std::string& seen) -> std::string_view {
    return before.client ? told : seen;
  };
  // The peer first, then what it said: two commands as Postfix sends them.
  const std::vector<std::pair<std::string_view, std::string_view>> groups[] = {
      {{"NAME", first(before.name, from.client_name)},
       {"ADDR", first(before.address, from.client_address)},
       {"PORT", first(before.port, from.client_port)}},
      {{"PROTO", first(before.protocol, from.protocol)},
       {"HELO", first(before.helo, from.helo)},
       {"IDENT", before.id.empty() ? origin.id : before.id},
       {"SOURCE", !before.source.empty() ? std::string_view(before.source)
                  : origin.local         ? "LOCAL"
                                         : "REMOTE"}}};
  std::vector<std::string> lines;
  for (const auto& group : groups) {
    std::string line(kVerb);
    for (const auto& [name, value] : group) {
      const bool known = !value.empty() && (name == "HELO" || !iequals(value, "unknown"));
      if (!known || !announces(features, name)) continue;
      const std::string word = " " + std::string(name) + "=" + to_xtext(value);
      if (line.size() > kVerb.size() && line.size() + word.size() + 2 > kMaxLine)
        lines.push_back(std::exchange(line, std::string(kVerb)) + "\r\n");
      line += word;
    }
    if (line.size() > kVerb.size()) lines.push_back(line + "\r\n");
  }
  return lines;
}

} // namespace postrider::smtp

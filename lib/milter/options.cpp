// SPDX-License-Identifier: MIT
#include "milter/options.hpp"

#include "base/ascii.hpp"
#include "base/words.hpp"
#include "config/units.hpp"
#include "net/host.hpp"

namespace postrider::milter {

namespace {

Result<void> parse_endpoint(std::string_view text, FilterOptions& filter) {
  filter.name = text;
  const Error syntax(ErrorKind::config,
                     filter.name + ": write inet:host:port or unix:path for a milter");
  if (text.starts_with("unix:") || text.starts_with("local:")) {
    POSTRIDER_TRY(const net::Address address,
                  net::Address::unix_path(text.substr(text.find(':') + 1)));
    filter.addresses.push_back(address);
    return {};
  }
  if (!text.starts_with("inet:")) return syntax;
  text.remove_prefix(5);
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos || colon == 0) return syntax;
  const auto port = parse_decimal(text.substr(colon + 1));
  if (!port || *port == 0 || *port > 65535) return syntax;
  net::Host host =
      net::find_host(std::string(text.substr(0, colon)), static_cast<std::uint16_t>(*port));
  filter.addresses = std::move(host.addresses);
  filter.trouble = std::move(host.trouble);
  return {};
}

Result<void> parse_setting(std::string_view text, FilterOptions& filter) {
  const std::size_t equals = text.find('=');
  const Error unknown(ErrorKind::config,
                      filter.name + ": \"" + std::string(text) +
                          "\" is none of connect_timeout=, command_timeout=, content_timeout=, "
                          "default_action=, protocol=");
  if (equals == text.npos) return unknown;
  const std::string_view name = trim(text.substr(0, equals));
  const std::string_view value = trim(text.substr(equals + 1));
  Duration* time = name == "connect_timeout"   ? &filter.connect_timeout
                   : name == "command_timeout" ? &filter.command_timeout
                   : name == "content_timeout" ? &filter.content_timeout
                                               : nullptr;
  if (time != nullptr) {
    const auto parsed = config::parse_time(value, 's');
    if (!parsed || *parsed <= 0) return unknown;
    *time = std::chrono::milliseconds(*parsed);
    return {};
  }
  if (name == "default_action") {
    const auto action = parse_default_action(value);
    if (!action) return unknown;
    filter.default_action = *action;
    return {};
  }
  if (name == "protocol") {
    const auto version = parse_decimal(value);
    if (!version || *version < 2 || *version > 6) return unknown;
    filter.version = static_cast<std::uint32_t>(*version);
    return {};
  }
  return unknown;
}

} // namespace

Result<std::vector<FilterOptions>> parse_filters(std::string_view text,
                                                 const FilterOptions& common) {
  std::vector<FilterOptions> filters;
  POSTRIDER_TRY(const std::vector<std::string> entries, split_words(text));
  for (const std::string& entry : entries) {
    POSTRIDER_TRY(const std::vector<std::string> words, split_words(entry));
    if (words.empty()) continue;
    FilterOptions filter = common;
    POSTRIDER_TRY_VOID(parse_endpoint(words.front(), filter));
    for (std::size_t i = 1; i < words.size(); ++i)
      POSTRIDER_TRY_VOID(parse_setting(words[i], filter));
    filters.push_back(std::move(filter));
  }
  return filters;
}

Result<std::map<std::string, std::string>> parse_macro_defaults(std::string_view text) {
  std::map<std::string, std::string> defaults;
  POSTRIDER_TRY(const std::vector<std::string> words, split_words(text));
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    const std::vector<std::string> name =
        parse_macro_names(std::string_view(word).substr(0, equals));
    if (equals == std::string::npos || name.size() != 1)
      return Error(ErrorKind::config, "\"" + word + "\" is not of the form name=value");
    defaults[name.front()] = trim(std::string_view(word).substr(equals + 1));
  }
  return defaults;
}

} // namespace postrider::milter

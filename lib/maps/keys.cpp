// SPDX-License-Identifier: MIT
#include "maps/keys.hpp"

#include "base/ascii.hpp"

namespace postrider::maps {

namespace {

// A domain has at most 127 labels (RFC 1035); a longer text is not worth quadratic work.
constexpr std::size_t kMostParents = 128;

// Names whose '-' is part of the name.
bool is_one_word(std::string_view local) {
  return iequals(local, "double-bounce") || iequals(local, "mailer-daemon");
}

void add(std::vector<SearchKey>& keys, std::string text, Key kind) {
  keys.push_back({lowercase(text), kind});
}

void add_domains(std::vector<SearchKey>& keys, std::string_view domain, const KeyRules& rules) {
  if (domain.empty()) return;
  add(keys, std::string(domain), Key::part);
  if (domain.front() == '[') return;
  std::size_t dot = domain.find('.', 1);
  for (std::size_t n = 0; n < kMostParents && dot != std::string_view::npos; ++n) {
    const std::string_view parent = domain.substr(rules.parents_match ? dot + 1 : dot);
    if (!parent.empty() && parent != ".") add(keys, std::string(parent), Key::part);
    dot = domain.find('.', dot + 1);
  }
}

void add_addresses(std::vector<SearchKey>& keys, std::string_view address,
                   const AddressParts& parts) {
  add(keys, std::string(address), Key::whole);
  if (!parts.extension.empty())
    add(keys, std::string(parts.user) + "@" + std::string(parts.domain), Key::part);
}

} // namespace

AddressParts split_address(std::string_view address, std::string_view delimiters) {
  AddressParts parts;
  const std::size_t at = address.rfind('@');
  parts.local = address.substr(0, at);
  if (at != std::string_view::npos) parts.domain = address.substr(at + 1);
  parts.user = parts.local;
  if (delimiters.empty() || parts.local.empty() || is_one_word(parts.local)) return parts;
  const std::size_t cut = parts.local.find_first_of(delimiters, 1);
  if (cut == std::string_view::npos) return parts;
  parts.user = parts.local.substr(0, cut);
  parts.extension = parts.local.substr(cut + 1);
  parts.delimiter = parts.local[cut];
  return parts;
}

std::vector<SearchKey> domain_keys(std::string_view domain, const KeyRules& rules) {
  std::vector<SearchKey> keys;
  add_domains(keys, domain, rules);
  return keys;
}

std::vector<SearchKey> transport_keys(std::string_view address, const KeyRules& rules) {
  std::vector<SearchKey> keys;
  const AddressParts parts = split_address(address, rules.delimiters);
  add_addresses(keys, address, parts);
  add_domains(keys, parts.domain, rules);
  keys.push_back({"*", Key::part});
  return keys;
}

std::vector<SearchKey> access_keys(std::string_view address, const KeyRules& rules) {
  std::vector<SearchKey> keys;
  const AddressParts parts = split_address(address, rules.delimiters);
  add_addresses(keys, address, parts);
  add_domains(keys, parts.domain, rules);
  add(keys, std::string(parts.local) + "@", Key::part);
  if (!parts.extension.empty()) add(keys, std::string(parts.user) + "@", Key::part);
  return keys;
}

std::vector<SearchKey> address_keys(std::string_view address, const KeyRules& rules) {
  std::vector<SearchKey> keys;
  const AddressParts parts = split_address(address, rules.delimiters);
  add_addresses(keys, address, parts);
  if (!parts.domain.empty()) add(keys, "@" + std::string(parts.domain), Key::part);
  return keys;
}

Result<std::optional<std::string>> search(MapList& maps, const std::vector<SearchKey>& keys) {
  if (maps.empty()) return std::optional<std::string>();
  for (const SearchKey& key : keys) {
    auto answer = maps.lookup(key.text, key.kind);
    if (!answer || *answer) return answer;
  }
  return std::optional<std::string>();
}

} // namespace postrider::maps

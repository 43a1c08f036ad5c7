// SPDX-License-Identifier: MIT
#include "maps/keys.hpp"

#include "base/ascii.hpp"
#include "mail/address.hpp"

namespace postrider::maps {

namespace {

// A domain has at most 127 labels (RFC 1035); a longer text is not worth quadratic work.
constexpr std::size_t kMostParents = 128;

bool is_one_word(std::string_view local, std::string_view delimiters) {
  for (const std::string_view name : {"postmaster", "mailer-daemon", "double-bounce"})
    if (iequals(local, name)) return true;
  constexpr std::string_view kRequest = "-request";
  return delimiters.find('-') != std::string_view::npos &&
         (istarts_with(local, "owner-") ||
          (local.size() > kRequest.size() &&
           iequals(local.substr(local.size() - kRequest.size()), kRequest)));
}

void add(std::vector<SearchKey>& keys, std::string_view text) {
  keys.push_back({std::string(text), Key::part});
}

void add_domains(std::vector<SearchKey>& keys, std::string_view domain, const KeyRules& rules) {
  if (domain.empty()) return;
  add(keys, domain);
  if (domain.front() == '[') return;
  std::size_t dot = domain.find('.', 1);
  for (std::size_t n = 0; n < kMostParents && dot != std::string_view::npos; ++n) {
    const std::string_view parent = domain.substr(rules.parents_match ? dot + 1 : dot);
    if (!parent.empty() && parent != ".") add(keys, parent);
    dot = domain.find('.', dot + 1);
  }
}

// "local@domain", "local" without a domain, or "local@" with kOnlyAt for it.
constexpr std::string_view kOnlyAt = "@";

void add_user(std::vector<SearchKey>& keys, std::string_view local, std::string_view domain,
              Key kind, bool without_extension) {
  const bool only_at = domain == kOnlyAt;
  const std::string tail = domain.empty() ? "" : "@" + std::string(only_at ? "" : domain);
  std::string plain = std::string(local) + tail;
  std::string quoted = mail::to_external(std::string(local) + "@x");
  quoted.replace(quoted.size() - 2, 2, tail);
  if (quoted != plain) keys.push_back({std::move(quoted), kind, without_extension});
  keys.push_back({std::move(plain), kind, without_extension});
}

void add_users(std::vector<SearchKey>& keys, const AddressParts& parts, std::string_view domain,
               Key kind) {
  add_user(keys, parts.local, domain, kind, false);
  if (parts.delimiter != 0) add_user(keys, parts.user, domain, Key::part, true);
}

} // namespace

AddressParts split_address(std::string_view address, std::string_view delimiters) {
  AddressParts parts;
  const std::size_t at = address.rfind('@');
  parts.local = address.substr(0, at);
  if (at != std::string_view::npos) parts.domain = address.substr(at + 1);
  parts.user = parts.local;
  if (delimiters.empty() || parts.local.empty() || is_one_word(parts.local, delimiters))
    return parts;
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
  add_users(keys, parts, parts.domain, Key::whole);
  add_domains(keys, parts.domain, rules);
  add(keys, "*");
  return keys;
}

std::vector<SearchKey> access_keys(std::string_view address, const KeyRules& rules) {
  std::vector<SearchKey> keys;
  const AddressParts parts = split_address(address, rules.delimiters);
  add_users(keys, parts, parts.domain, Key::whole);
  add_domains(keys, parts.domain, rules);
  add_users(keys, parts, kOnlyAt, Key::part);
  return keys;
}

std::vector<SearchKey> address_keys(std::string_view address, const KeyRules& rules) {
  return generic_keys(address, rules, false);
}

std::vector<SearchKey> generic_keys(std::string_view address, const KeyRules& rules, bool ours) {
  std::vector<SearchKey> keys;
  const AddressParts parts = split_address(address, rules.delimiters);
  add_users(keys, parts, parts.domain, Key::whole);
  if (parts.domain.empty()) return keys;
  if (ours) add_users(keys, parts, {}, Key::part);
  add(keys, "@" + std::string(parts.domain));
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

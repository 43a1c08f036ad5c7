// SPDX-License-Identifier: MIT
#include "route/address_map.hpp"

#include "base/ascii.hpp"
#include "mail/address.hpp"
#include "maps/keys.hpp"
#include "mime/address_list.hpp"

namespace postrider::route {

void complete_address(std::string& address, std::string_view origin, std::string_view mydomain) {
  if (address.empty()) return;
  const std::string_view domain = mail::domain_part(address);
  if (domain.empty()) {
    if (!origin.empty() && address.find('@') == std::string::npos)
      address.append("@").append(origin);
  } else if (!mydomain.empty() && domain.front() != '[' &&
             domain.find('.') == std::string_view::npos) {
    address.append(".").append(mydomain);
  }
}

Result<std::vector<std::string>> map_address(maps::MapList& maps, std::string_view address,
                                             const AddressRules& rules, bool ours) {
  std::vector<std::string> results;
  if (maps.empty() || address.empty()) return results;
  const maps::AddressParts parts = maps::split_address(address, rules.delimiters);
  for (const maps::SearchKey& key :
       maps::generic_keys(address, {.delimiters = rules.delimiters}, ours)) {
    POSTRIDER_TRY(const std::optional<std::string> found, maps.lookup(key.text, key.kind));
    if (!found) continue;
    if (found->starts_with('@')) { // the same user elsewhere
      results.push_back(std::string(key.without_extension ? parts.user : parts.local) +
                        std::string(trim(*found)));
    } else {
      const mime::AddressList list = mime::AddressList::parse(*found);
      for (std::size_t i = 0; i < list.size(); ++i)
        results.push_back(list.address(i));
    }
    if (results.empty()) results.emplace_back(); // says so below
    for (std::string& result : results) {
      complete_address(result, rules.origin, rules.mydomain);
      if (key.without_extension && rules.propagate)
        result.insert(std::min(result.rfind('@'), result.size()),
                      parts.delimiter + std::string(parts.extension));
      // What is wrong with a table must not get into a command.
      if (!mail::parse_mailbox(mail::to_external(result), mail::Utf8::yes))
        return Error(ErrorKind::config, rules.title + " lookup of " + std::string(address) +
                                            " returns non-address result \"" + *found + "\"");
    }
    return results;
  }
  return results;
}

} // namespace postrider::route

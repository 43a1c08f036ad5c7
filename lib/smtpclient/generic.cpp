// SPDX-License-Identifier: MIT
#include "smtpclient/generic.hpp"

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "mail/address.hpp"
#include "maps/keys.hpp"
#include "mime/address_list.hpp"

namespace postrider::smtpclient {
namespace {

std::string_view prefix(const Options& options) {
  return options.flavor == Flavor::lmtp ? "lmtp" : "smtp";
}

} // namespace

Result<bool> Generic::is_ours(std::string_view domain) const {
  if (domain.empty() || iequals(domain, options_.origin)) return true;
  if (domain.front() == '[' && domain.back() == ']') {
    domain = domain.substr(1, domain.size() - 2);
    if (istarts_with(domain, "ipv6:")) domain.remove_prefix(5);
    const auto address = net::Address::parse_ip(std::string(domain), 0);
    return address && options_.is_own(*address);
  }
  return tables_.local_domains.matches_domain(domain);
}

maps::Answer Generic::map(std::string_view address) const {
  if (empty() || address.empty()) return std::optional<std::string>();
  const maps::AddressParts parts = maps::split_address(address, options_.address_delimiters);
  POSTRIDER_TRY(const bool ours, is_ours(parts.domain));
  const std::string title = std::string(prefix(options_)) + "_generic_maps";
  for (const maps::SearchKey& key :
       maps::generic_keys(address, {.delimiters = options_.address_delimiters}, ours)) {
    POSTRIDER_TRY(const std::optional<std::string> found,
                  tables_.generic.lookup(key.text, key.kind));
    if (!found) continue;
    std::string result;
    if (found->starts_with('@')) { // the same user elsewhere
      result =
          std::string(key.without_extension ? parts.user : parts.local) + std::string(trim(*found));
    } else {
      const mime::AddressList list = mime::AddressList::parse(*found);
      if (list.size() > 0) result = list.address(0);
      if (list.size() > 1)
        log::warning("multi-valued " + title + " result for " + std::string(address));
    }
    std::size_t at = result.rfind('@');
    if (at == std::string::npos) {
      at = result.size();
      result += "@" + options_.origin;
    }
    if (key.without_extension && options_.propagate_generic)
      result.insert(at, parts.delimiter + std::string(parts.extension));
    // What is wrong with a table must not get into a command.
    if (!mail::parse_mailbox(mail::to_external(result), mail::Utf8::yes))
      return Error(ErrorKind::config, title + " lookup of " + std::string(address) +
                                          " returns non-address result \"" + *found + "\"");
    if (result == address) return std::optional<std::string>();
    return std::optional(std::move(result));
  }
  return std::optional<std::string>();
}

} // namespace postrider::smtpclient

// SPDX-License-Identifier: MIT
#include "smtpclient/generic.hpp"

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "mail/address.hpp"
#include "route/address_map.hpp"

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
  POSTRIDER_TRY(const bool ours, is_ours(mail::domain_part(address)));
  const std::string title = std::string(prefix(options_)) + "_generic_maps";
  const route::AddressRules rules{.title = title,
                                  .delimiters = options_.address_delimiters,
                                  .propagate = options_.propagate_generic,
                                  .origin = options_.origin};
  POSTRIDER_TRY(std::vector<std::string> results,
                route::map_address(tables_.generic, address, rules, ours));
  if (results.size() > 1)
    log::warning("multi-valued " + title + " result for " + std::string(address));
  if (results.empty() || results.front() == address) return std::optional<std::string>();
  return std::optional(std::move(results.front()));
}

} // namespace postrider::smtpclient

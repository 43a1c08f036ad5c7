// SPDX-License-Identifier: MIT
#include "dns/self_test.hpp"

#include "base/ascii.hpp"

namespace postrider::dns {
namespace {

constexpr std::size_t kMaxZones = 4;

// The owner of a DS or DNSKEY record as text.
std::string zone_of(std::string_view anchor) {
  const auto words = split(anchor, " \t");
  std::string zone = words.empty() ? "." : lowercase(words.front());
  if (zone.size() > 1 && zone.back() == '.') zone.pop_back();
  return zone;
}

} // namespace

ev::Task<std::string> find_dnssec_trouble(Resolver& resolver,
                                          const std::vector<std::string>& anchors,
                                          ev::Deadline deadline) {
  if (anchors.empty()) co_return "there is no trust anchor (dns_trust_anchor_file)";
  for (std::size_t i = 0; i < anchors.size() && i < kMaxZones; ++i) {
    const std::string zone = zone_of(anchors[i]);
    Result<Answer> answer = co_await resolver.query(zone, Type::soa, deadline);
    if (!answer) co_return "";
    const std::string about = zone == "." ? "the root zone" : "the zone " + zone;
    if (answer->security == Security::bogus)
      co_return answer->reason + ": the name servers (dns_resolvers) leave the signatures of " +
          about + " out, or the trust anchor is an old one";
    if (answer->status == Status::temporary)
      co_return "the name servers (dns_resolvers) do not answer for " + about + ": " +
          answer->reason;
    if (answer->security != Security::secure)
      co_return "answers about " + about + " are not signed, although there is a trust anchor";
  }
  co_return "";
}

} // namespace postrider::dns

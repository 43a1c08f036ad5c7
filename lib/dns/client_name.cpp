// SPDX-License-Identifier: MIT
#include "dns/client_name.hpp"

#include <algorithm>
#include <netdb.h>
#include <netinet/in.h>

#include "mail/domain.hpp"

namespace postrider::dns {
namespace {

NameStatus status_of(const Answer& answer, NameStatus missing) {
  switch (answer.status) {
  case Status::ok: return NameStatus::ok;
  case Status::temporary: return NameStatus::temporary;
  case Status::no_data:
  case Status::no_domain:
  case Status::unusable:
  case Status::filtered: return missing;
  }
  return NameStatus::temporary;
}

// In the words of getaddrinfo(3), which log readers know.
std::string why(Status status) {
  return gai_strerror(status == Status::temporary ? EAI_AGAIN
                      : status == Status::no_data ? EAI_NODATA
                                                  : EAI_NONAME);
}

} // namespace

std::string reverse_zone_name(const net::Address& address) {
  if (address.family() == AF_INET) {
    const auto* four = reinterpret_cast<const sockaddr_in*>(address.raw());
    std::uint32_t rest = ntohl(four->sin_addr.s_addr);
    std::string name;
    for (int i = 0; i < 4; ++i, rest >>= 8)
      name += std::to_string(rest & 0xff) + ".";
    return name + "in-addr.arpa";
  }
  const auto* six = reinterpret_cast<const sockaddr_in6*>(address.raw());
  std::string name;
  for (int i = 15; i >= 0; --i) {
    const unsigned byte = six->sin6_addr.s6_addr[i];
    for (const unsigned digit : {byte & 15U, byte >> 4U})
      name.append({"0123456789abcdef"[digit], '.'});
  }
  return name + "ip6.arpa";
}

ev::Task<Result<ClientName>> look_up_client_name(Resolver& resolver, HostsFile& hosts,
                                                 net::Address client, ev::Deadline deadline) {
  ClientName result;
  const std::string text = client.text();
  // Without port and scope, and an IPv4-mapped address as IPv4.
  const net::Address address = *net::Address::parse_ip(text, 0);

  std::string claimed = hosts.name_of(address);
  if (claimed.empty()) {
    const std::string question = reverse_zone_name(address);
    Result<Answer> answer = co_await resolver.query(question, Type::ptr, deadline);
    if (!answer) co_return answer.error();
    result.status = result.reverse_status = status_of(*answer, NameStatus::not_found);
    if (result.status != NameStatus::ok) co_return result;
    claimed = answer->records.front().data; // several: any is as good
  }
  if (!mail::is_hostname(claimed)) {
    result.status = result.reverse_status = NameStatus::not_found;
    co_return result;
  }
  result.reverse_name = claimed;
  result.reverse_status = NameStatus::ok;

  const bool four = address.family() == AF_INET;
  std::vector<net::Address> addresses = hosts.addresses_of(claimed, address.family());
  result.problem = "hostname " + claimed + " does not resolve to address " + text;
  if (addresses.empty()) {
    const Type type = four ? Type::a : Type::aaaa;
    Result<Answer> answer = co_await resolver.query(claimed, type, deadline);
    if (!answer) co_return answer.error();
    result.status = status_of(*answer, NameStatus::forged);
    if (result.status != NameStatus::ok) {
      result.problem += ": " + why(answer->status);
      co_return result;
    }
    for (const Record& record : answer->records)
      addresses.push_back(address_of(record, type));
  }
  if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) {
    result.status = NameStatus::forged;
    co_return result;
  }
  result.status = NameStatus::ok;
  result.name = claimed;
  result.problem.clear();
  co_return result;
}

} // namespace postrider::dns

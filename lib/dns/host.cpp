// SPDX-License-Identifier: MIT
#include "dns/host.hpp"

#include <algorithm>
#include <netdb.h>

#include "dns/resolver.hpp"

namespace postrider::dns {

HostAnswer look_up_host_now(const std::string& name) {
  HostAnswer answer;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int status = getaddrinfo(name.c_str(), nullptr, &hints, &list);
  if (status != 0) {
    const bool gone = status == EAI_NONAME || status == EAI_NODATA;
    answer.kind = gone ? HostAnswer::Kind::not_found : HostAnswer::Kind::temporary;
    answer.reason = gai_strerror(status);
    return answer;
  }
  for (const addrinfo* at = list; at && answer.addresses.size() < kMaxRecords; at = at->ai_next) {
    const auto address = net::Address::from_sockaddr(at->ai_addr, at->ai_addrlen);
    if (std::find(answer.addresses.begin(), answer.addresses.end(), address) ==
        answer.addresses.end())
      answer.addresses.push_back(address);
  }
  freeaddrinfo(list);
  answer.kind = answer.addresses.empty() ? HostAnswer::Kind::not_found : HostAnswer::Kind::found;
  return answer;
}

ev::Task<Result<HostAnswer>> look_up_host(ev::Offload& offload, std::string_view name,
                                          ev::Deadline deadline) {
  std::function<HostAnswer()> job = [owned = std::string(name)] { return look_up_host_now(owned); };
  Result<HostAnswer> answer = co_await offload.run(job, deadline, "getaddrinfo");
  if (answer || answer.error().kind() == ErrorKind::cancelled) co_return std::move(answer);
  HostAnswer failed;
  failed.reason = answer.error().text();
  co_return failed;
}

} // namespace postrider::dns

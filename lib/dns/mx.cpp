// SPDX-License-Identifier: MIT
#include "dns/mx.hpp"

#include <algorithm>

#include "base/ascii.hpp"

namespace postrider::dns {

MxList read_mx(const Answer& answer, std::string_view domain, Jitter* shuffle) {
  MxList list;
  list.security = answer.security;
  list.reason = answer.reason;
  list.canonical = answer.canonical.empty() ? lowercase(domain) : answer.canonical;
  switch (answer.status) {
  case Status::no_domain: list.kind = MxList::Kind::no_domain; return list;
  case Status::temporary: list.kind = MxList::Kind::temporary; return list;
  case Status::no_data:
    list.kind = MxList::Kind::hosts;
    list.implicit = true;
    list.hosts.push_back({lowercase(domain), 0});
    return list;
  case Status::unusable: list.kind = MxList::Kind::unusable; return list;
  case Status::filtered: list.kind = MxList::Kind::filtered; return list;
  case Status::ok: break;
  }
  for (const Record& record : answer.records) {
    if (record.data.empty()) {
      list.kind = MxList::Kind::null_mx;
      list.hosts.clear();
      return list;
    }
    list.hosts.push_back({record.data, record.preference});
  }
  if (shuffle) std::shuffle(list.hosts.begin(), list.hosts.end(), shuffle->engine());
  std::stable_sort(list.hosts.begin(), list.hosts.end(),
                   [](const MxHost& a, const MxHost& b) { return a.preference < b.preference; });
  for (std::size_t i = 0; i < list.hosts.size(); ++i) {
    const std::string name = list.hosts[i].name;
    const auto rest = list.hosts.begin() + static_cast<std::ptrdiff_t>(i) + 1;
    list.hosts.erase(std::remove_if(rest, list.hosts.end(),
                                    [&](const MxHost& other) { return other.name == name; }),
                     list.hosts.end());
  }
  list.kind = MxList::Kind::hosts;
  return list;
}

ev::Task<Result<MxList>> look_up_mx(Resolver& resolver, std::string_view domain, Jitter* shuffle,
                                    ev::Deadline deadline) {
  Result<Answer> answer = co_await resolver.query(domain, Type::mx, deadline);
  if (!answer) co_return answer.error();
  co_return read_mx(*answer, domain, shuffle);
}

} // namespace postrider::dns

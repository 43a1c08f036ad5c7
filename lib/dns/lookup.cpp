// SPDX-License-Identifier: MIT
#include "dns/lookup.hpp"

#include <algorithm>

#include "base/ascii.hpp"

namespace postrider::dns {

constexpr std::size_t kMostAddresses = 8;

std::string text_of(std::string_view rdata) {
  std::string out;
  while (!rdata.empty()) {
    const auto length = static_cast<unsigned char>(rdata[0]);
    out += rdata.substr(1, length);
    rdata.remove_prefix(std::min<std::size_t>(1 + length, rdata.size()));
  }
  return out;
}

ev::Task<Result<std::vector<std::string>>> find_texts(Resolver& resolver, const std::string& name,
                                                      ev::Deadline deadline) {
  Result<Answer> answer = co_await resolver.query(name, Type::txt, deadline);
  if (!answer) co_return answer.error();
  if (answer->status == Status::temporary)
    co_return Error(ErrorKind::busy, "DNS: " + answer->reason);
  std::vector<std::string> texts;
  for (const Record& record : answer->records)
    texts.push_back(text_of(record.data));
  co_return std::move(texts);
}

Families Families::of(std::string_view inet_protocols) {
  const std::vector<std::string_view> words = split(inet_protocols, ", \t");
  const auto has = [&](std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  return {has("all") || has("ipv4"), has("all") || has("ipv6")};
}

ev::Task<Result<std::vector<std::string>>> find_addresses(Resolver& resolver,
                                                          const std::string& host,
                                                          Families families,
                                                          ev::Deadline deadline) {
  std::vector<std::string> found;
  std::string reason = "has no address";
  for (const Type type : {Type::aaaa, Type::a}) {
    if (!(type == Type::a ? families.ipv4 : families.ipv6)) continue;
    Result<Answer> answer = co_await resolver.query(host, type, deadline);
    if (!answer) co_return answer.error();
    if (answer->status == Status::temporary) reason = "DNS: " + answer->reason;
    for (const Record& record : answer->records)
      if (found.size() < kMostAddresses) found.push_back(address_of(record, type).text());
  }
  if (found.empty()) co_return Error(ErrorKind::not_found, host + ": " + reason);
  co_return std::move(found);
}

} // namespace postrider::dns

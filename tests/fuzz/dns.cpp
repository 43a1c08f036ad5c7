// SPDX-License-Identifier: MIT
// Answers of the DNS as libunbound hands them over, and what is made of their records: MX hosts,
// texts, TLSA.
#include "base/ascii.hpp"
#include "dns/lookup.hpp"
#include "dns/mx.hpp"
#include "dns/resolver.hpp"
#include "fuzz/target.hpp"
#include "mail/domain.hpp"
#include "tls/verify.hpp"

FUZZ(input) {
  using namespace postrider;
  using dns::Type;
  constexpr Type kTypes[] = {Type::a,  Type::ns,  Type::cname, Type::soa, Type::ptr,
                             Type::mx, Type::txt, Type::aaaa,  Type::srv, Type::tlsa};
  const unsigned which = fuzz::take_byte(input);
  const Type type = kTypes[which % std::size(kTypes)];
  const dns::Answer answer = dns::parse_reply(input, "a.example", type);
  POSTRIDER_CHECK(answer.records.size() <= dns::kMaxRecords);
  POSTRIDER_CHECK((answer.status == dns::Status::ok) <= !answer.records.empty());
  POSTRIDER_CHECK(answer.status != dns::Status::temporary || !answer.reason.empty());
  POSTRIDER_CHECK(mail::is_domain(answer.canonical), answer.canonical);
  std::vector<tls::TlsaRecord> tlsa;
  for (const dns::Record& record : answer.records) {
    POSTRIDER_CHECK(record.ttl <= 0x7fffffff);
    switch (type) {
    case Type::a:
    case Type::aaaa: POSTRIDER_CHECK(dns::address_of(record, type).is_ip()); break;
    case Type::ns:
    case Type::ptr: POSTRIDER_CHECK(mail::is_hostname(record.data), record.data); break;
    case Type::txt: POSTRIDER_CHECK(dns::text_of(record.data).size() <= record.data.size()); break;
    case Type::tlsa:
      if (auto parsed = tls::parse_tlsa(record.data)) tlsa.push_back(std::move(*parsed));
      break;
    case Type::mx:
    case Type::cname:
    case Type::soa:
    case Type::srv: break;
    }
  }
  for (const tls::TlsaRecord& record : tls::usable(tlsa, {"sha512", "sha256"}))
    POSTRIDER_CHECK(record.usage >= 2 && !tls::to_string(record).empty());
  if (type == Type::mx) {
    const dns::MxList list = dns::read_mx(answer, "a.example", nullptr);
    for (const dns::MxHost& host : list.hosts)
      POSTRIDER_CHECK(!host.name.empty() && lowercase(host.name) == host.name, host.name);
    POSTRIDER_CHECK(list.kind != dns::MxList::Kind::hosts || !list.hosts.empty());
  }
  (void)dns::text_of(input);
}

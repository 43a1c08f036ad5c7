// SPDX-License-Identifier: MIT
// Answers of the DNS as libunbound hands them over, and what is made of their records: MX hosts,
// texts, TLSA.
#include "base/ascii.hpp"
#include "dns/lookup.hpp"
#include "dns/mx.hpp"
#include "dns/resolver.hpp"
#include "fuzz/target.hpp"
#include "mail/domain.hpp"
#include "support/run_task.hpp"
#include "tls/tlsa.hpp"
#include "tls/verify.hpp"
#include "tls/x509.hpp"

namespace {
using namespace postrider;
using dns::Type;

class OneAnswer final : public dns::Resolver {
 public:
  explicit OneAnswer(dns::Answer answer) : answer_(std::move(answer)) {}
  ev::Task<Result<dns::Answer>> query(std::string_view, Type, ev::Deadline) override {
    co_return answer_;
  }

 private:
  dns::Answer answer_;
};

void mail_hosts(const dns::Answer& answer) {
  static ev::Loop loop;
  Jitter shuffle(42);
  OneAnswer resolver(answer);
  const auto shuffled = test::run_task<Result<dns::MxList>>(loop, [&] {
    return dns::look_up_mx(resolver, "A.example", &shuffle, ev::Deadline::never());
  });
  const dns::MxList list = dns::read_mx(answer, "A.example", nullptr);
  POSTRIDER_CHECK(shuffled && shuffled->kind == list.kind &&
                  shuffled->hosts.size() == list.hosts.size());
  POSTRIDER_CHECK(list.kind != dns::MxList::Kind::hosts || !list.hosts.empty());
  for (const auto* hosts : {&list.hosts, &shuffled->hosts}) {
    std::uint16_t preference = 0;
    for (const dns::MxHost& host : *hosts) {
      POSTRIDER_CHECK(!host.name.empty() && lowercase(host.name) == host.name, host.name);
      POSTRIDER_CHECK(preference <= host.preference);
      preference = host.preference;
    }
  }
}

// A server whose certificate and key are what the record has whole.
void prove(const tls::TlsaRecord& record) {
  if (record.usage >= 2 && record.matching == 0 && record.selector == 0) {
    const auto certificate = tls::import_certificate(record.data);
    POSTRIDER_CHECK(certificate && tls::matches(record, *certificate));
    for (const std::uint8_t selector : {0, 1})
      for (const std::uint8_t matching : {0, 1, 2}) {
        tls::TlsaRecord other = record;
        other.selector = selector;
        other.matching = matching;
        if (selector != 0 || matching != 0)
          POSTRIDER_CHECK(!tls::matches(other, *certificate), "a digest is not what it is of");
      }
  }
  POSTRIDER_CHECK(tls::is_full_anchor(record) == (record.usage == 2 && record.matching == 0));
}

} // namespace

FUZZ(input) {
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
  for (const tls::TlsaRecord& record : tls::usable(tlsa, {"sha512", "sha256"})) {
    POSTRIDER_CHECK(record.usage >= 2 && !tls::to_string(record).empty());
    prove(record);
  }
  if (type == Type::mx) mail_hosts(answer);
  (void)dns::text_of(input);
}

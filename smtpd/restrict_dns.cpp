// SPDX-License-Identifier: MIT
// Restrictions that ask lists in the DNS.
#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "config/expand.hpp"
#include "mail/address.hpp"
#include "mail/domain.hpp"
#include "mail/status.hpp"
#include "maps/ask.hpp"
#include "restrict.hpp"

namespace postrider::smtpd {

namespace {

constexpr std::string_view kReply =
    "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using "
    "$rbl_domain${rbl_reason?; $rbl_reason}";

// A value of a stranger's: no $name in it is one.
std::string plain(std::string_view value) {
  std::string out;
  for (const char c : value)
    out.append(c == '$' ? 2 : 1, c);
  return out;
}

} // namespace

// Text that is no domain has no records, and needs no question.
ev::Task<dns::Answer> Walk::query(const std::string& name, dns::Type type) {
  dns::Answer nothing;
  nothing.status = dns::Status::no_domain;
  const Result<std::string> ascii = mail::to_ascii(name);
  if (!ascii) co_return nothing;
  Result<dns::Answer> answer =
      co_await resolver_.query(*ascii, type, loop_.after(rules_.dns_limit));
  if (answer) co_return std::move(*answer);
  nothing.status = dns::Status::temporary;
  nothing.reason = answer.error().text();
  co_return nothing;
}

ev::Task<Walk::Hosts> Walk::addresses_of(const std::string& name) {
  Hosts hosts;
  if (maps::parse_address(name)) {
    hosts.status = dns::Status::ok;
    hosts.addresses.push_back(name);
    co_return hosts;
  }
  hosts.status = dns::Status::no_domain;
  for (const dns::Type type : {dns::Type::a, dns::Type::aaaa}) {
    const dns::Answer answer = co_await query(name, type);
    for (const dns::Record& record : answer.records)
      hosts.addresses.push_back(dns::address_of(record, type).text());
    if (answer.status == dns::Status::temporary) hosts.status = answer.status;
    if (answer.status == dns::Status::no_domain) break;
  }
  if (!hosts.addresses.empty()) hosts.status = dns::Status::ok;
  co_return hosts;
}

ev::Task<Walk::Verdict> Walk::dns_list_client(ev::Lent<const Restriction> one) {
  const std::string& address = at_.peer->address;
  const std::string reversed = reversed_address(address);
  if (reversed.empty()) co_return Verdict::dunno;
  const View about = view_of(Subject::client);
  co_return co_await dns_list_verdict(one, reversed + "." + one->list->domain(), address, about);
}

ev::Task<Walk::Verdict> Walk::dns_list_domain(ev::Lent<const Restriction> one) {
  const Subject subject =
      one->row->word == Word::permit_rhswl_client ? Subject::client : one->row->subject;
  const auto name = name_of(subject);
  if (!name || name->empty()) co_return Verdict::dunno;
  const bool is_client = subject == Subject::client || subject == Subject::reverse_client;
  if (is_client && *name == "unknown") co_return Verdict::dunno;
  const std::size_t sign = name->rfind('@');
  const std::string domain = sign == std::string::npos ? *name : name->substr(sign + 1);
  // Lists of domains have nothing to say about numbers, and some answer all of them with yes.
  if (!mail::is_hostname(domain)) co_return Verdict::dunno;
  const View about = view_of(subject);
  co_return co_await dns_list_verdict(one, domain + "." + one->list->domain(), *name, about);
}

ev::Task<Walk::Verdict> Walk::dns_list_verdict(ev::Lent<const Restriction> one,
                                               const std::string& name, const std::string& what,
                                               const View& about) {
  const bool permits =
      one->row->word == Word::permit_dnswl_client || one->row->word == Word::permit_rhswl_client;
  if (permits && at_.recipient) { // it must not open the relay
    Result<bool> ours = co_await is_final(*at_.recipient, true);
    if (!ours || !*ours || has_routing(*at_.recipient)) co_return Verdict::dunno;
  }
  const dns::Answer answer = co_await query(name, dns::Type::a);
  if (answer.status == dns::Status::temporary) {
    log::warning(name + ": RBL lookup error: " + answer.reason);
    if (permits)
      co_return doubt_refusal(450, "4.7.1",
                              "<" + what + ">: " + std::string(about.cls) +
                                  " rejected: Service unavailable");
    co_return Verdict::dunno;
  }
  const bool listed =
      std::any_of(answer.records.begin(), answer.records.end(),
                  [&](const dns::Record& record) { return one->list->matches(record.data); });
  if (!listed) co_return Verdict::dunno;
  if (permits) co_return permit(one->row->name, about, one->argument);
  const dns::Answer why = co_await query(name, dns::Type::txt);
  const std::string reason = why.records.empty() ? "" : text_of_txt(why.records.front().data);
  Result<std::string> form = co_await dns_list_form(one->argument);
  const Result<std::string> reply =
      form ? dns_list_reply(*form, one->argument, what, about.cls, reason) : form.error();
  if (!reply) co_return misconfigured(reply.error().text());
  int code = rules_.codes.dns_list;
  std::string_view text = *reply;
  if (const auto number = parse_decimal(text.substr(0, 3));
      number && *number >= 400 && *number <= 599) {
    code = static_cast<int>(*number);
    text = trim(text.substr(3));
  }
  const std::string_view dsn = mail::leading_status(text);
  if (!dsn.empty()) text = trim(text.substr(dsn.size()));
  co_return reject(code, dsn.empty() ? "4.7.1" : dsn, std::string(text));
}

// rbl_reply_maps by the list as it is named in main.cf, then by its domain; or default_rbl_reply.
ev::Task<Result<std::string>> Walk::dns_list_form(const std::string& list) {
  const std::vector<maps::SearchKey> keys{{list, maps::Key::whole},
                                          {list.substr(0, list.find('=')), maps::Key::whole}};
  const std::function<maps::Answer()> question = [&]() -> maps::Answer {
    if (!rules_.dns_list_replies) return std::optional<std::string>();
    return maps::search(*rules_.dns_list_replies, keys);
  };
  maps::Answer own = co_await maps::ask<std::optional<std::string>>(loop_, question,
                                                                    loop_.after(rules_.dns_limit));
  if (!own) co_return own.error();
  if (*own) co_return std::move(**own);
  co_return rules_.dns_list_reply.empty() ? std::string(kReply) : rules_.dns_list_reply;
}

Result<std::string> Walk::dns_list_reply(const std::string& form, const std::string& list,
                                         const std::string& what, std::string_view cls,
                                         const std::string& reason) {
  const std::string domain = list.substr(0, list.find('='));
  const auto part = [](const std::optional<std::string>& address, bool of_domain) {
    const std::string_view text = address ? std::string_view(*address) : std::string_view();
    return std::string(of_domain ? mail::domain_part(text) : mail::local_part(text));
  };
  const config::Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
    if (name == "rbl_code") return std::to_string(rules_.codes.dns_list);
    if (name == "rbl_class") return std::string(cls);
    if (name == "rbl_what") return plain(what);
    if (name == "rbl_domain") return domain;
    if (name == "rbl_reason") return plain(reason);
    if (name == "client") return plain(at_.peer->shown());
    if (name == "client_name") return plain(at_.peer->name);
    if (name == "client_address") return at_.peer->address;
    if (name == "helo_name") return plain(at_.helo);
    if (name == "sender") return plain(at_.sender.value_or(""));
    if (name == "sender_name") return plain(part(at_.sender, false));
    if (name == "sender_domain") return plain(part(at_.sender, true));
    if (name == "recipient") return plain(at_.recipient.value_or(""));
    if (name == "recipient_name") return plain(part(at_.recipient, false));
    if (name == "recipient_domain") return plain(part(at_.recipient, true));
    return std::nullopt;
  };
  return config::expand(form, lookup);
}

} // namespace postrider::smtpd

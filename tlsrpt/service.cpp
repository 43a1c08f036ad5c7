// SPDX-License-Identifier: MIT
#include "service.hpp"

#include "base/fields.hpp"
#include "base/log.hpp"
#include "mail/domain.hpp"
#include "record.hpp"
#include "service/tlsrpt_collector.hpp"

namespace postrider::tlsrpt {
namespace {

Result<void> check_domain(const std::string& domain) {
  if (mail::is_hostname(domain) && domain.size() <= proto::kLongestTlsName) return {};
  return Error(ErrorKind::protocol, "no domain");
}

Result<std::string> mailbox(std::string_view parameter, const std::string& text) {
  if (mail_address("mailto:" + text)) return text;
  return Error(ErrorKind::config, std::string(parameter) + ": not an address: " + text);
}

} // namespace

Result<Options> Options::load(const config::Settings& settings) {
  Options out;
  out.file = settings.text("data_directory") + "/tlsrpt.lmdb";
  out.most_domains = static_cast<std::uint64_t>(settings.number("tlsrpt_domain_limit"));
  Letterhead& head = out.reporter.letterhead;
  head.hostname = settings.text("myhostname");
  head.mail_name = settings.text("mail_name");
  head.organization = settings.text("tlsrpt_organization_name");
  POSTRIDER_TRY(head.contact,
                mailbox("tlsrpt_contact_address", settings.text("tlsrpt_contact_address")));
  POSTRIDER_TRY(head.sender,
                mailbox("tlsrpt_sender_address", settings.text("tlsrpt_sender_address")));
  out.reporter.report_successes = settings.flag("tlsrpt_report_successes");
  out.reporter.delay = settings.time("tlsrpt_report_delay");
  out.outlet.ca_file = settings.text("tlsrpt_CAfile");
  out.outlet.families = dns::Families::of(settings.text("inet_protocols"));
  out.outlet.hostname = head.hostname;
  out.outlet.mail_name = head.mail_name;
  out.outlet.submit.program = "tlsrpt";
  out.outlet.submit.file_threshold = settings.size("large_message_threshold");
  out.outlet.submit.sync_limit = settings.time("journal_sync_time_limit");
  POSTRIDER_TRY(out.outlet.dns, dns::Setup::load(settings.words("dns_resolvers"),
                                                 settings.text("dns_trust_anchor_file")));
  return out;
}

Service::Service(ev::Loop& loop, Accounts accounts, ReporterSetup reporter,
                 std::unique_ptr<Outlet> outlet)
    : loop_(loop), accounts_(std::move(accounts)), outlet_(std::move(outlet)),
      reporter_(loop, accounts_, *outlet_, std::move(reporter)),
      server_(loop, *this,
              {.protocol = std::string(proto::kTlsrptProtocol), .version = proto::kTlsrptVersion}) {
}

void Service::drain(daemon::Drain reason) {
  reporter_.close();
  server_.drain(reason);
}

void Service::stop() {
  reporter_.close();
  server_.stop();
}

// Said once, until there is room again.
void Service::count(const proto::TlsEvent& event) {
  const Result<void> counted = accounts_.count(event, loop_.clock().wall());
  if (!counted && !full_)
    log::warning("not counted for " + event.domain + ": " + counted.error().text());
  full_ = !counted;
}

proto::Accounts Service::list(const proto::AskAccounts& request) {
  proto::Accounts out;
  out.number = request.number;
  out.lost = accounts_.lost();
  std::size_t bytes = 0;
  std::string last;
  const Accounts::Visit visit = [&](std::string_view key, const proto::TlsAccount& account) {
    if (key <= request.after) return true;
    if (bytes >= kPage) {
      out.next = last;
      return false;
    }
    bytes += encode(account).size();
    last = key;
    out.accounts.push_back(account);
    return true;
  };
  const Result<void> read = request.domain.empty()
                                ? accounts_.each(request.after, visit)
                                : accounts_.each_of(request.domain, loop_.clock().wall(), visit);
  if (!read) log::warning(read.error().text());
  return out;
}

ev::RootTask Service::answer(service::Peer& peer, proto::SendReport request) {
  proto::ReportSent out;
  out.number = request.number;
  out.accounts = co_await reporter_.send_now(request.domain);
  for (proto::TlsAccount& account : out.accounts)
    account.policies.clear();
  peer.channel.send(out);
}

Result<void> Service::take(service::Peer& peer, ipc::Frame& frame) {
  switch (frame.type) {
  case proto::TlsEvent::kType: {
    POSTRIDER_TRY(const auto event, ipc::as<proto::TlsEvent>(frame));
    POSTRIDER_TRY_VOID(service::check(event));
    POSTRIDER_TRY_VOID(check_domain(event.domain));
    count(event);
    return {};
  }
  case proto::AskAccounts::kType: {
    POSTRIDER_TRY(const auto request, ipc::as<proto::AskAccounts>(frame));
    if (!request.domain.empty()) POSTRIDER_TRY_VOID(check_domain(request.domain));
    peer.channel.send(list(request));
    return {};
  }
  case proto::SendReport::kType: {
    POSTRIDER_TRY(auto request, ipc::as<proto::SendReport>(frame));
    POSTRIDER_TRY_VOID(check_domain(request.domain));
    peer.tasks.spawn(answer(peer, std::move(request)), "reports of a domain");
    return {};
  }
  default: return Error(ErrorKind::protocol, "a frame of type " + std::to_string(frame.type));
  }
}

} // namespace postrider::tlsrpt

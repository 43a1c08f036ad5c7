// SPDX-License-Identifier: MIT
// tlsrpt: what the tlsrpt service has counted of the TLS of recipient domains, and its reports.
#include "client.hpp"
#include "command.hpp"
#include "json.hpp"
#include "mail/domain.hpp"
#include "text.hpp"

namespace postrider::ctl {

namespace {

struct Sums {
  std::uint64_t good = 0, failed = 0;
  explicit Sums(const proto::TlsAccount& account) {
    for (const proto::TlsPolicyCount& count : account.policies) {
      good += count.successes;
      failed += count.failures;
    }
  }
};

// "2026-11-20", with the time where it is no whole day.
std::string period_of(const proto::TlsAccount& account) {
  constexpr std::int64_t kDay = 86400;
  const std::string begin = show_time(account.begin * 1000000);
  if (account.begin % kDay == 0 && account.end - account.begin == kDay) return begin.substr(0, 10);
  return begin + " to " + show_time(account.end * 1000000);
}

std::string report_of(const proto::TlsAccount& account) {
  std::string out(to_string(account.state));
  if (account.state == proto::TlsReportState::waiting)
    out += ", next try " + show_until(account.due, now_micros());
  return out;
}

std::string listed(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items)
    out += (out.empty() ? "" : ", ") + shown(item);
  return out;
}

std::string lines_of(const proto::TlsPolicyCount& count) {
  std::string out = "    " + std::string(to_string(count.policy.kind)) + " of " +
                    shown(count.policy.domain) + ": " + std::to_string(count.successes) +
                    " good, " + std::to_string(count.failures) + " failed\n";
  for (const std::string& text : count.policy.strings)
    out += "      | " + shown(text, 100) + "\n";
  for (const proto::TlsFailures& line : count.lines) {
    out += "      " + std::to_string(line.count) + " x " + std::string(to_string(line.result));
    if (!line.mx_host.empty()) out += " at " + shown(line.mx_host);
    if (!line.mx_address.empty()) out += "[" + shown(line.mx_address) + "]";
    if (!line.reason.empty()) out += ": " + shown(line.reason);
    out += "\n";
  }
  if (count.without_line > 0)
    out += "      " + std::to_string(count.without_line) + " x of further kinds\n";
  return out;
}

std::string details_of(const proto::TlsAccount& account) {
  std::string out =
      shown(account.domain) + ", " + period_of(account) + ": " + report_of(account) + "\n";
  if (!account.report_id.empty()) out += "    report  " + shown(account.report_id) + "\n";
  if (!account.done.empty()) out += "    sent    " + listed(account.done) + "\n";
  if (!account.left.empty()) out += "    to send " + listed(account.left) + "\n";
  if (!account.note.empty()) out += "    note    " + shown(account.note) + "\n";
  for (const proto::TlsPolicyCount& count : account.policies)
    out += lines_of(count);
  if (account.lost > 0)
    out += "    " + std::to_string(account.lost) + " not counted: too many policies in one day\n";
  return out;
}

int show(const Invocation& in, Client& client, const std::string& domain) {
  proto::AskAccounts request;
  request.number = 1;
  request.domain = domain;
  std::vector<proto::TlsAccount> accounts;
  std::uint64_t lost = 0;
  do {
    Result<proto::Accounts> page = client.ask<proto::Accounts>(request);
    if (!page) return fail(in, page.error());
    for (proto::TlsAccount& account : page->accounts)
      accounts.push_back(std::move(account));
    lost = page->lost;
    request.after = page->next;
  } while (!request.after.empty());
  if (in.json) {
    print(json::of(accounts) + "\n");
    return accounts.empty() ? exit_not_found : exit_ok;
  }
  if (domain.empty()) {
    Table table({"DOMAIN", "DAY", "GOOD", "FAILED", "REPORT"});
    table.align_right(2);
    table.align_right(3);
    for (const proto::TlsAccount& account : accounts) {
      const Sums sums(account);
      table.add({shown(account.domain), period_of(account), std::to_string(sums.good),
                 std::to_string(sums.failed), report_of(account)});
    }
    if (!table.empty()) print(table.text());
  }
  for (const proto::TlsAccount& account : accounts)
    if (!domain.empty()) print(details_of(account));
  if (accounts.empty())
    print("nothing is counted" + (domain.empty() ? "" : " of " + domain) + "\n");
  if (lost > 0)
    print(counted(lost, "connection") + " not counted: no room (tlsrpt_domain_limit)\n");
  return accounts.empty() ? exit_not_found : exit_ok;
}

int send(const Invocation& in, Client& client, const std::string& domain) {
  proto::SendReport request;
  request.number = 1;
  request.domain = domain;
  const Result<proto::ReportSent> done = client.order<proto::ReportSent>(request);
  if (!done) return fail(in, done.error());
  int status = done->accounts.empty() ? exit_not_found : exit_ok;
  if (in.json) print(json::of(done->accounts) + "\n");
  for (const proto::TlsAccount& account : done->accounts) {
    if (account.state == proto::TlsReportState::waiting) status = exit_try_again;
    if (!in.json) print(details_of(account));
  }
  if (done->accounts.empty() && !in.json) print("nothing to report to " + domain + "\n");
  return status;
}

int run_tlsrpt(const Invocation& in) {
  if (in.words().size() > 1) return fail(in, exit_usage, "tlsrpt: name one domain, or none");
  std::string domain;
  if (!in.words().empty()) {
    const Result<std::string> ascii = mail::to_ascii(in.words().front());
    if (!ascii || !mail::is_hostname(*ascii))
      return fail(in, exit_usage, "tlsrpt: " + shown(in.words().front()) + " is no domain");
    domain = *ascii;
  }
  if (in.has("send") && domain.empty())
    return fail(in, exit_usage, "tlsrpt: --send needs a domain");
  const Result<config::Settings> settings = load_settings(in);
  if (!settings) return fail(in, settings.error());
  auto client =
      Client::to_tlsrpt(settings->text("queue_directory"), settings->text("tlsrpt_service_name"));
  if (!client) return fail(in, client.error());
  return in.has("send") ? send(in, **client, domain) : show(in, **client, domain);
}

} // namespace

const std::vector<Command>& tlsrpt_commands() {
  static const std::vector<Command> commands = {
      {"tlsrpt",
       "[DOMAIN]",
       "what TLS of recipient domains has shown, and the reports on it",
       {{"send", "", "end what is counted today, and send what waits, now"}},
       run_tlsrpt},
  };
  return commands;
}

} // namespace postrider::ctl

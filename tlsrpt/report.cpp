// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <algorithm>
#include <ctime>

#include "base/ascii.hpp"
#include "base/base64.hpp"
#include "mail/header.hpp"

namespace postrider::tlsrpt {
namespace {

std::string utc(std::int64_t seconds, const char* form) {
  const std::time_t time = seconds;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, form, &parts));
}

// Quotes of RFC 2045, and of RFC 5322 where a phrase needs them.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c >= ' ' && c < 0x7f) out += c;
  }
  return out + "\"";
}

std::string_view token_of(const proto::TlsAccount& account) {
  const std::string_view id = std::string_view(account.report_id);
  const std::string_view left = id.substr(0, id.find('@'));
  return left.substr(left.find('.') + 1);
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string for_people(const proto::TlsAccount& account, const Letterhead& head) {
  std::uint64_t successes = 0, failures = 0;
  for (const proto::TlsPolicyCount& count : account.policies) {
    successes += count.successes;
    failures += count.failures;
  }
  return "This is a report on the TLS of mail for " + account.domain + ", as\r\n" + head.hostname +
         " saw it (RFC 8460).\r\n\r\nFrom " + date_time(account.begin) + " to " +
         date_time(account.end - 1) + ": " + counted(successes, "session") +
         " with TLS as the\r\n" + "policy asks, " + counted(failures, "session") +
         " without.\r\n\r\n" + "The report itself is attached: JSON, compressed with gzip.\r\n";
}

std::string lines_of(std::string_view base64) {
  constexpr std::size_t kLine = 76; // RFC 2045 section 6.8
  std::string out;
  for (; !base64.empty(); base64.remove_prefix(std::min(kLine, base64.size())))
    out.append(base64.substr(0, kLine)).append("\r\n");
  return out;
}

} // namespace

std::string date_time(std::int64_t seconds) { return utc(seconds, "%Y-%m-%dT%H:%M:%SZ"); }

std::string Letterhead::submitter() const {
  const std::size_t at = sender.rfind('@');
  return at == std::string::npos ? hostname : sender.substr(at + 1);
}

std::string report_id(const proto::TlsAccount& account, const Letterhead& head,
                      std::string_view token) {
  return utc(account.begin, "%Y%m%d") + "." + std::string(token) + "@" + head.hostname;
}

std::string file_name(const proto::TlsAccount& account, const Letterhead& head) {
  return head.submitter() + "!" + account.domain + "!" + std::to_string(account.begin) + "!" +
         std::to_string(account.end - 1) + "!" + std::string(token_of(account)) + ".json.gz";
}

Composed compose(const proto::TlsAccount& account, std::string_view packed, std::string_view to,
                 const Letterhead& head, WallTime now) {
  const std::string token(token_of(account));
  // No line of base64, and none of ours, begins like that.
  const std::string boundary = "=_tlsrpt_" + token;
  const std::string name = quoted(file_name(account, head));
  const std::string id =
      "<" + token + "." + std::to_string(to_unix_micros(now)) + "@" + head.hostname + ">";
  Composed out;
  std::string& content = out.content;
  content += "Date: " + rfc5322_date(now) + "\r\n";
  content += "From: " + quoted(head.organization) + " <" + head.sender + ">\r\n";
  content += "To: " + std::string(to) + "\r\n";
  // Section 5.3.
  content += "Subject: Report Domain: " + account.domain + "\r\n Submitter: " + head.submitter() +
             "\r\n Report-ID: <" + account.report_id + ">\r\n";
  content += "Message-ID: " + id + "\r\n";
  content += "TLS-Report-Domain: " + account.domain + "\r\n";
  content += "TLS-Report-Submitter: " + head.submitter() + "\r\n";
  // It is to arrive because TLS does not work (section 3; RFC 8689 section 5).
  content += "TLS-Required: No\r\n";
  content += "Auto-Submitted: auto-generated\r\n";
  content += "MIME-Version: 1.0\r\n";
  content += "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"" + boundary +
             "\"\r\n\r\n";
  content += "--" + boundary + "\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n";
  content += for_people(account, head);
  content += "\r\n--" + boundary + "\r\nContent-Type: " + std::string(kGzipType) +
             ";\r\n\tname=" + name + "\r\nContent-Transfer-Encoding: base64\r\n" +
             "Content-Disposition: attachment;\r\n\tfilename=" + name + "\r\n\r\n";
  content += lines_of(to_base64(packed));
  content += "\r\n--" + boundary + "--\r\n";

  mail::ContentScanner scanner;
  scanner.feed(content);
  out.facts = scanner.facts();
  out.envelope.sender = head.sender;
  mail::Recipient recipient;
  recipient.address = to;
  recipient.notify = mail::notify_never; // nobody is to hear that a report did not arrive
  out.envelope.recipients.push_back(std::move(recipient));
  out.envelope.arrival = to_unix_micros(now);
  out.envelope.message_id = id;
  out.envelope.report_kind = proto::kTlsReport;
  return out;
}

} // namespace postrider::tlsrpt

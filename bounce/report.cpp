// SPDX-License-Identifier: MIT
#include "report.hpp"

#include "text.hpp"
#include "words.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "mail/address.hpp"
#include "mail/header.hpp"
#include "mail/status.hpp"
#include "queue/id.hpp"

namespace postrider::bounce {

namespace {

using mail::Outcome;
using proto::Report;
using proto::ReportKind;

// ORCPT as the client gave it: type ';' address. The type is an atom (RFC 3461 section 4.2).
std::string original_recipient(std::string_view orcpt, bool utf8) {
  const std::size_t semicolon = orcpt.find(';');
  if (semicolon == std::string_view::npos || semicolon == 0) return {};
  std::string type(orcpt.substr(0, semicolon));
  for (char& c : type)
    if (!is_alnum(c) && c != '-' && c != '.') return {};
  const std::string_view address = trim(orcpt.substr(semicolon + 1));
  if (address.empty()) return {};
  if (is_ascii(address)) return type + ";" + safe_text(address, false);
  if (utf8 && is_valid_utf8(address)) return "utf-8;" + safe_text(address, true);
  return "utf-8;" + utf8_addr_xtext(address);
}

// Status with the class that the action demands (RFC 3464 section 2.3.4).
std::string status_for(ReportKind kind, const Outcome& outcome) {
  const char wanted = kind == ReportKind::failed ? '5' : kind == ReportKind::delayed ? '4' : '2';
  if (!mail::is_status(outcome.dsn)) return std::string(1, wanted) + ".0.0";
  return mail::with_class(outcome.dsn, wanted);
}

std::string_view action_for(const Report& report, const mail::Recipient& recipient) {
  switch (report.kind) {
  case ReportKind::failed: return "failed";
  case ReportKind::delayed: return "delayed";
  case ReportKind::success:
    return recipient.expanded ? "expanded" : report.final_delivery ? "delivered" : "relayed";
  }
  return "failed";
}

bool for_postmaster(const Circumstances& c) { return c.audience != Audience::sender; }

// RET and the size limit. RFC 3461 section 4.3: RET matters for failures; other reports have the
// header only.
bool returns_whole(const Report& report, const Letterhead& head, Audience audience) {
  return report.kind == ReportKind::failed && audience == Audience::sender &&
         report.envelope.ret != mail::Ret::hdrs && report.facts.size <= head.size_limit;
}

bool needs_utf8(const Report& report) {
  if (!report.envelope.smtputf8) return false;
  if (report.facts.utf8_headers || !is_ascii(report.send_to)) return true;
  return std::any_of(
      report.envelope.recipients.begin(), report.envelope.recipients.end(),
      [](const mail::Recipient& r) { return !is_ascii(r.address) || !is_ascii(r.orcpt); });
}

std::string date_of(std::int64_t micros) { return rfc5322_date(from_unix_micros(micros)); }

std::string text_part(const Report& report, const Letterhead& head, bool postmaster, bool whole,
                      bool utf8) {
  std::string out;
  std::string intro = introduction(report.kind, postmaster, head.hostname, head.mail_name, whole);
  for (const std::string_view paragraph : split(intro, "\n"))
    out += wrapped(safe_text(paragraph, utf8), 0, "") + "\r\n\r\n";
  if (report.kind == ReportKind::delayed) {
    if (report.next_try > 0) out += "Next attempt: " + date_of(report.next_try) + "\r\n";
    if (report.expires > 0) out += "Given up after: " + date_of(report.expires) + "\r\n";
    if (report.next_try > 0 || report.expires > 0) out += "\r\n";
  }
  for (std::size_t i = 0; i < report.outcomes.size(); ++i) {
    const Outcome& outcome = report.outcomes[i];
    const std::string who =
        safe_text(mail::to_external(report.envelope.recipients[i].address), utf8);
    const std::string_view meaning = meaning_of(outcome.dsn);
    out += wrapped("<" + who + ">:", 0, "    ") + "\r\n";
    if (!meaning.empty()) out += "    " + wrapped(meaning, 4, "    ") + "\r\n";
    const std::string said = limited(outcome.text.empty() ? outcome.reply : outcome.text, utf8);
    if (!said.empty()) out += "    " + wrapped(said, 4, "    ") + "\r\n";
    out += "\r\n";
  }
  return out;
}

std::string status_part(const Report& report, const Letterhead& head, const Circumstances& c,
                        bool utf8) {
  std::string out;
  put_field(out, "Reporting-MTA", "dns; " + safe_host(head.hostname));
  // RFC 3464 section 2.2.1: the decoded ENVID.
  if (!report.envelope.envid.empty())
    put_field(out, "Original-Envelope-Id", safe_text(report.envelope.envid, utf8));
  put_field(out, "X-Postrider-Queue-ID", queue::Id(report.id).text());
  if (!report.envelope.sender.empty())
    put_field(out, "X-Postrider-Sender", typed_address(report.envelope.sender, utf8));
  put_field(out, "Arrival-Date", date_of(report.envelope.arrival));
  for (std::size_t i = 0; i < report.outcomes.size(); ++i) {
    const Outcome& outcome = report.outcomes[i];
    const mail::Recipient& recipient = report.envelope.recipients[i];
    out += "\r\n";
    const std::string orcpt = original_recipient(recipient.orcpt, utf8);
    if (!orcpt.empty()) put_field(out, "Original-Recipient", orcpt);
    put_field(out, "Final-Recipient", typed_address(recipient.address, utf8));
    put_field(out, "Action", action_for(report, recipient));
    put_field(out, "Status", status_for(report.kind, outcome));
    if (!outcome.host.empty() && outcome.host != "none")
      put_field(out, "Remote-MTA", "dns; " + safe_host(outcome.host));
    if (!outcome.reply.empty())
      put_field(out, "Diagnostic-Code", "smtp; " + limited(outcome.reply, utf8));
    else if (!outcome.text.empty())
      put_field(out, "Diagnostic-Code", "X-Postrider; " + limited(outcome.text, utf8));
    put_field(out, "Last-Attempt-Date", outcome.at > 0 ? date_of(outcome.at) : rfc5322_date(c.now));
    if (report.kind == ReportKind::delayed && report.expires > 0)
      put_field(out, "Will-Retry-Until", date_of(report.expires));
  }
  return out;
}

// The header of the original without its empty line; of one that is not there as a whole, the lines
// that are.
ByteView header_of(ByteView original, const mail::ContentFacts& facts, std::uint64_t limit) {
  ByteView header = original.substr(0, mail::header_length(original)).substr(0, limit);
  if (header.size() < facts.header_size) {
    const std::size_t end = header.rfind('\n');
    header = header.substr(0, end == ByteView::npos ? 0 : end + 1);
  }
  if (header.size() >= 4 && header.substr(header.size() - 4) == "\r\n\r\n") header.remove_suffix(2);
  return header;
}

// A Message-ID that may stand in a header of ours.
bool is_plain_message_id(std::string_view id) {
  if (id.size() < 3 || id.size() > 250 || id.front() != '<' || id.back() != '>') return false;
  return std::all_of(id.begin() + 1, id.end() - 1,
                     [](char c) { return c > ' ' && c < 0x7f && c != '<' && c != '>'; });
}

void put_part(std::string& out, std::string_view boundary, std::string_view description,
              std::string_view type, bool eight_bit, ByteView body) {
  out.append("--").append(boundary).append("\r\n");
  out.append("Content-Description: ").append(description).append("\r\n");
  out.append("Content-Type: ").append(type).append("\r\n");
  if (eight_bit) out.append("Content-Transfer-Encoding: 8bit\r\n");
  out.append("\r\n").append(body);
  out.append("\r\n"); // belongs to the delimiter that follows (RFC 2046 section 5.1.1)
}

} // namespace

std::string_view kind_name(ReportKind kind) {
  switch (kind) {
  case ReportKind::failed: return "failed";
  case ReportKind::delayed: return "delayed";
  case ReportKind::success: return "success";
  }
  return "";
}

std::string_view log_phrase(ReportKind kind, Audience audience) {
  const bool postmaster = audience != Audience::sender;
  switch (kind) {
  case ReportKind::failed:
    return postmaster ? "postmaster non-delivery notification" : "sender non-delivery notification";
  case ReportKind::delayed:
    return postmaster ? "postmaster delay notification" : "sender delay notification";
  case ReportKind::success: return "sender delivery status notification";
  }
  return "";
}

std::string problem_with(const Report& report) {
  const std::size_t count = report.outcomes.size();
  if (count == 0) return "a report about nobody";
  if (report.envelope.recipients.size() != count || report.recipient_indices.size() != count)
    return "recipients, indices and outcomes differ in number";
  if (report.send_to.empty()) return "nobody to send the report to";
  if (report.send_to.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
    return "a line break in the address of the report";
  if (auto clean = mail::check_clean(report.envelope); !clean) return clean.error().text();
  return {};
}

std::uint64_t wanted_of_original(const Report& report, const Letterhead& head, Audience audience) {
  if (returns_whole(report, head, audience)) return report.facts.size;
  const std::uint64_t header = report.facts.header_size;
  return std::min({header, report.facts.size, head.size_limit});
}

Composed compose(const Report& report, ByteView original, const Letterhead& head,
                 const Circumstances& c) {
  const bool postmaster = for_postmaster(c);
  const bool whole = returns_whole(report, head, c.audience);
  const bool utf8 = needs_utf8(report);
  const ByteView returned = whole ? original.substr(0, report.facts.size)
                                  : header_of(original, report.facts, head.size_limit);
  const std::string text = text_part(report, head, postmaster, whole, utf8);
  const std::string status = status_part(report, head, c, utf8);

  std::string boundary = "=_" + c.token;
  for (int n = 0;
       text.find(boundary) != std::string::npos || status.find(boundary) != std::string::npos ||
       returned.find(boundary) != ByteView::npos;
       ++n)
    boundary = "=_" + c.token + "_" + std::to_string(n);

  const bool eight_bit = !is_ascii(text) || !is_ascii(status) || !is_ascii(returned);
  const std::string origin = safe_text(head.origin, utf8);
  Composed out;
  const std::string id = message_id(head.hostname, c.now, c.token);
  std::string& content = out.content;
  content.reserve(text.size() + status.size() + returned.size() + 2048);
  content += "Date: " + rfc5322_date(c.now) + "\r\n";
  content += "From: Mail Delivery System <MAILER-DAEMON@" + origin + ">\r\n";
  content.append("Subject: ").append(subject_of(report.kind, postmaster)).append("\r\n");
  content += "To: " + safe_text(mail::to_external(report.send_to), utf8) + "\r\n";
  content +=
      "Auto-Submitted: " + std::string(postmaster ? "auto-generated" : "auto-replied") + "\r\n";
  content += "Message-ID: " + id + "\r\n";
  if (head.threaded && is_plain_message_id(report.envelope.message_id)) {
    content += "In-Reply-To: " + report.envelope.message_id + "\r\n";
    content += "References: " + report.envelope.message_id + "\r\n";
  }
  content += "MIME-Version: 1.0\r\n";
  content += "Content-Type: multipart/report; report-type=";
  content += utf8 ? "global-delivery-status" : "delivery-status";
  content += ";\r\n\tboundary=\"" + boundary + "\"\r\n";
  if (eight_bit) content += "Content-Transfer-Encoding: 8bit\r\n";
  content += "\r\nThis is a MIME-encapsulated message.\r\n\r\n";

  put_part(content, boundary, "Notification",
           utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", !is_ascii(text),
           text);
  put_part(content, boundary, "Delivery report",
           utf8 ? "message/global-delivery-status" : "message/delivery-status", !is_ascii(status),
           status);
  const bool global = utf8 && report.facts.utf8_headers;
  const std::string_view type = whole ? (global ? "message/global" : "message/rfc822")
                                      : (global ? "message/global-headers" : "text/rfc822-headers");
  std::string_view description = "Message";
  if (report.kind == ReportKind::failed) description = "Undelivered Message";
  if (report.kind == ReportKind::delayed) description = "Delayed Message";
  put_part(content, boundary,
           whole ? std::string(description) : std::string(description) + " Header", type,
           !is_ascii(returned), returned);
  content += "--" + boundary + "--\r\n";

  mail::ContentScanner scanner;
  scanner.feed(content);
  out.facts = scanner.facts();
  mail::Envelope& envelope = out.envelope;
  // Mail to the postmaster has a sender of its own, so that its failure ends here: qmgr drops what
  // cannot be returned to it, and no bounce about a bounce is ever made.
  if (postmaster) envelope.sender = head.double_bounce_sender + "@" + head.hostname;
  mail::Recipient to;
  to.address = report.send_to;
  envelope.recipients.push_back(to);
  envelope.arrival = to_unix_micros(c.now);
  envelope.body = eight_bit ? mail::Body::eight_bit_mime : mail::Body::unset;
  envelope.smtputf8 = utf8;
  envelope.message_id = id;
  if (c.audience == Audience::postmaster_copy) return out;
  envelope.report_for = queue::Id(report.id).text();
  envelope.reported = report.recipient_indices;
  envelope.report_kind = kind_name(report.kind);
  return out;
}

} // namespace postrider::bounce

// SPDX-License-Identifier: MIT
#include "notice.hpp"

#include "base/ascii.hpp"
#include "mail/address.hpp"
#include "mail/header.hpp"
#include "queue/id.hpp"
#include "text.hpp"

namespace postrider::bounce {

namespace {

constexpr std::size_t kMostLines = 2000;

} // namespace

Composed compose(const proto::Notice& notice, const std::string& send_to, const Letterhead& head,
                 const Circumstances& now) {
  Composed out;
  const std::string id = message_id(head.hostname, now.now, now.token);
  const std::string about =
      notice.peer.empty() ? std::string() : ": errors from " + safe_text(notice.peer, false);
  std::string& content = out.content;
  put_field(content, "Date", rfc5322_date(now.now));
  put_field(content, "From",
            "MAILER-DAEMON@" + safe_text(head.origin, false) + " (Mail Delivery System)");
  put_field(content, "To", safe_text(mail::to_external(send_to), false) + " (Postmaster)");
  put_field(content, "Subject", head.mail_name + " SMTP client" + about);
  put_field(content, "Auto-Submitted", "auto-generated");
  put_field(content, "Message-ID", id);
  content += "\r\n";
  content += "This notice is about the delivery of message " + queue::Id(notice.id).text() +
             " (notify_classes: " + safe_text(notice.notice_class, false) + ").\r\n\r\n";
  // A blank in front of each line: whatever a peer said, it is no header and no separator.
  std::size_t lines = 0;
  for (std::string_view rest = notice.transcript; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string line = safe_text(trim_right(rest.substr(0, end)), false);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (++lines > kMostLines) break;
    if (!line.empty()) content += " " + (line.size() < 78 ? line : wrapped(line, 1, "     "));
    content += "\r\n";
  }

  mail::ContentScanner scanner;
  scanner.feed(content);
  out.facts = scanner.facts();
  out.envelope.sender = head.double_bounce_sender + "@" + head.hostname;
  mail::Recipient to;
  to.address = send_to;
  out.envelope.recipients.push_back(to);
  out.envelope.arrival = to_unix_micros(now.now);
  out.envelope.message_id = id;
  return out;
}

} // namespace postrider::bounce

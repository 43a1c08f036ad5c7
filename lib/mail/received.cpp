// SPDX-License-Identifier: MIT
#include "mail/received.hpp"

#include "mail/address.hpp"

namespace postrider::mail {
namespace {

void append_safe(std::string& out, std::string_view text) {
  for (const char c : text.substr(0, 255)) {
    const bool plain = c > 0x20 && c < 0x7f && c != '(' && c != ')' && c != '\\';
    out.push_back(plain ? c : '?');
  }
}

// Words in a comment, which may have comments in it where their parentheses match (RFC 5322
// section 3.2.2).
void append_words(std::string& out, std::string_view text) {
  int depth = 0;
  for (const char c : text.substr(0, 700)) {
    if (c == ')' && depth == 0) continue;
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    out.push_back(c >= 0x20 && c < 0x7f && c != '\\' ? c : '?');
  }
  out.append(static_cast<std::size_t>(depth), ')');
}

} // namespace

std::string received_header(const ReceivedFacts& facts) {
  std::string out;
  out.reserve(256);
  if (facts.client_address.empty()) {
    out.append("Received: by ").append(facts.by).append(" (").append(facts.mail_name);
    out.append(", from userid ").append(std::to_string(facts.uid)).append(")\r\n\tid ");
    out.append(facts.id);
  } else {
    const std::string_view name = facts.client_name.empty() ? "unknown" : facts.client_name;
    out.append("Received: from ");
    append_safe(out, facts.helo.empty() ? name : facts.helo);
    out.append(" (");
    append_safe(out, name);
    const bool v6 = facts.client_address.find(':') != std::string_view::npos;
    out.append(v6 ? " [IPv6:" : " [");
    append_safe(out, facts.client_address);
    out.append("])\r\n");
    if (!facts.tls.empty()) {
      out.append("\t(using ");
      append_words(out, facts.tls);
      if (!facts.tls_details.empty()) {
        out.append("\r\n\t ");
        append_words(out, facts.tls_details);
      }
      out.append(")\r\n\t(");
      append_words(out, facts.certificate);
      out.append(")\r\n");
    }
    if (!facts.sasl_username.empty()) {
      out.append("\t(Authenticated sender: ");
      append_safe(out, facts.sasl_username);
      out.append(")\r\n");
    }
    out.append("\tby ").append(facts.by).append(" (").append(facts.mail_name).append(") with ");
    out.append(facts.protocol).append(" id ").append(facts.id);
  }
  if (!facts.recipient.empty()) {
    out.append("\r\n\tfor <");
    append_safe(out, to_external(facts.recipient));
    out.push_back('>');
  }
  out.append("; ").append(rfc5322_date(facts.when)).append("\r\n");
  return out;
}

} // namespace postrider::mail

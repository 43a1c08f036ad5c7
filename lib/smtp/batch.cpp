// SPDX-License-Identifier: MIT
#include "smtp/batch.hpp"

#include <optional>

#include "base/ascii.hpp"
#include "mail/address.hpp"
#include "mail/domain.hpp"
#include "smtp/xtext.hpp"

namespace postrider::smtp {
namespace {

// Bounds what may be outstanding at once; far below what a socket buffer holds.
constexpr std::size_t kMaxGroup = 32 << 10;

// How an address goes to this server: a domain that is not ASCII as A-labels (RFC 5891) when the
// server does not take UTF-8. nullopt: not at all.
std::optional<std::string> on_the_wire(const std::string& address, const Features& f) {
  if (f.smtputf8 || is_ascii(address)) return address;
  const std::string_view local = mail::local_part(address);
  auto domain = mail::to_ascii(mail::domain_part(address));
  if (!is_ascii(local) || !domain) return std::nullopt;
  return std::string(local) + "@" + *domain;
}

void append_address(std::string& out, const std::string& address, const Transaction& t,
                    const Features& f) {
  const std::string wire = on_the_wire(address, f).value();
  out.push_back('<');
  out.append(t.quote_addresses ? mail::to_external(wire) : wire);
  out.push_back('>');
}

bool has_utf8_address(const Transaction& t) {
  if (!is_ascii(t.envelope->sender)) return true;
  for (const mail::Recipient& r : *t.recipients)
    if (!is_ascii(r.address)) return true;
  return false;
}

void append_mail(std::string& out, const Transaction& t, const Features& f) {
  out.append("MAIL FROM:");
  append_address(out, t.envelope->sender, t, f);
  if (f.size && !t.converted) out.append(" SIZE=").append(std::to_string(t.facts->size));
  if (f.eight_bit_mime) {
    if (t.facts->has_8bit)
      out.append(" BODY=8BITMIME");
    else if (t.envelope->body == mail::Body::seven_bit)
      out.append(" BODY=7BIT");
  }
  if (f.dsn) {
    if (!t.envelope->envid.empty()) out.append(" ENVID=").append(to_xtext(t.envelope->envid));
    if (t.envelope->ret == mail::Ret::full) out.append(" RET=FULL");
    if (t.envelope->ret == mail::Ret::hdrs) out.append(" RET=HDRS");
  }
  // RFC 6531 section 3.4: not for a message that does not need it. One that is ASCII throughout
  // does not; what stands in the headers of its parts we have not looked at.
  const bool needs_utf8 = has_utf8_address(t) || (t.envelope->smtputf8 && t.facts->has_8bit);
  if (f.smtputf8 && needs_utf8) out.append(" SMTPUTF8");
  if (t.dummy_auth) out.append(" AUTH=<>");
  out.append("\r\n");
}

void append_orcpt(std::string& out, const std::string& orcpt, bool utf8) {
  const std::size_t semicolon = orcpt.find(';');
  if (semicolon == std::string::npos) return;
  const std::string type = orcpt.substr(0, semicolon);
  const std::string_view address = std::string_view(orcpt).substr(semicolon + 1);
  if (type == "utf-8") {
    if (!is_ascii(address) && !utf8) return;
    out.append(" ORCPT=utf-8;").append(to_unitext(address));
  } else {
    out.append(" ORCPT=").append(type).append(";").append(to_xtext(address));
  }
}

void append_notify(std::string& out, std::uint8_t notify) {
  if (notify == 0) return;
  out.append(" NOTIFY=");
  if ((notify & mail::notify_never) != 0) {
    out.append("NEVER");
    return;
  }
  std::string words;
  if ((notify & mail::notify_success) != 0) words += ",SUCCESS";
  if ((notify & mail::notify_failure) != 0) words += ",FAILURE";
  if ((notify & mail::notify_delay) != 0) words += ",DELAY";
  out.append(words, 1);
}

void append_rcpt(std::string& out, const mail::Recipient& r, const Transaction& t,
                 const Features& f) {
  out.append("RCPT TO:");
  append_address(out, r.address, t, f);
  if (f.dsn) {
    append_orcpt(out, original_recipient(r), f.smtputf8);
    append_notify(out, r.notify);
  }
  out.append("\r\n");
}

} // namespace

std::string original_recipient(const mail::Recipient& recipient) {
  if (!recipient.orcpt.empty()) return recipient.orcpt;
  return (is_ascii(recipient.address) ? "rfc822;" : "utf-8;") +
         mail::to_external(recipient.address);
}

std::string mail_command(const Transaction& t, const Features& f) {
  std::string out;
  append_mail(out, t, f);
  return out;
}

std::string rcpt_command(const mail::Recipient& recipient, const Transaction& t,
                         const Features& f) {
  std::string out;
  append_rcpt(out, recipient, t, f);
  return out;
}

Obstacle find_obstacle(const Transaction& t, const Features& f) {
  if (f.size && f.size_limit > 0 && t.facts->size > f.size_limit) return Obstacle::too_large;
  if (!f.smtputf8) {
    bool needed =
        !on_the_wire(t.envelope->sender, f) || (t.envelope->smtputf8 && t.facts->utf8_headers);
    for (const mail::Recipient& r : *t.recipients)
      needed = needed || !on_the_wire(r.address, f);
    if (needed) return Obstacle::needs_smtputf8;
  }
  return Obstacle::none;
}

Batch plan_transaction(const Transaction& t, const Features& f) {
  Batch batch;
  batch.wire.reserve(128 + 64 * t.recipients->size());
  batch.commands.reserve(t.recipients->size() + 2);
  std::size_t group_start = 0;
  const auto add = [&](Step step, std::uint32_t recipient) {
    batch.commands.push_back(
        {step, recipient, static_cast<std::uint32_t>(batch.wire.size()), !f.pipelining});
    if (batch.wire.size() - group_start > kMaxGroup) {
      batch.commands.back().last_of_group = true;
      group_start = batch.wire.size();
    }
  };
  for (const std::string& line : t.xforward) {
    batch.wire.append(line);
    add(Step::xforward, 0);
  }
  append_mail(batch.wire, t, f);
  add(Step::mail, 0);
  for (std::size_t i = 0; i < t.recipients->size(); ++i) {
    append_rcpt(batch.wire, (*t.recipients)[i], t, f);
    add(Step::rcpt, static_cast<std::uint32_t>(i));
  }
  if (!t.chunked) {
    batch.wire.append("DATA\r\n");
    add(Step::data, 0);
  }
  batch.commands.back().last_of_group = true;
  return batch;
}

} // namespace postrider::smtp

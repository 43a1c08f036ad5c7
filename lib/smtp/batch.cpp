// SPDX-License-Identifier: MIT
#include "smtp/batch.hpp"

#include "base/ascii.hpp"
#include "mail/address.hpp"
#include "smtp/xtext.hpp"

namespace postrider::smtp {
namespace {

// Bounds what may be outstanding at once; far below what a socket buffer holds.
constexpr std::size_t kMaxGroup = 32 << 10;

void append_address(std::string& out, const std::string& address, bool quote) {
  out.push_back('<');
  if (quote)
    out.append(mail::to_external(address));
  else
    out.append(address);
  out.push_back('>');
}

void append_mail(std::string& out, const Transaction& t, const Features& f) {
  out.append("MAIL FROM:");
  append_address(out, t.envelope->sender, t.quote_addresses);
  if (f.size && !t.converted) out.append(" SIZE=").append(std::to_string(t.facts->size));
  if (f.eight_bit_mime) {
    if (t.facts->has_8bit)
      out.append(" BODY=8BITMIME");
    else if (t.envelope->body == mail::Body::seven_bit)
      out.append(" BODY=7BIT");
  }
  if (f.dsn) {
    if (t.envelope->ret == mail::Ret::full) out.append(" RET=FULL");
    if (t.envelope->ret == mail::Ret::hdrs) out.append(" RET=HDRS");
    if (!t.envelope->envid.empty()) out.append(" ENVID=").append(to_xtext(t.envelope->envid));
  }
  if (f.smtputf8 && t.envelope->smtputf8) out.append(" SMTPUTF8");
  out.append("\r\n");
}

void append_orcpt(std::string& out, const std::string& orcpt, bool utf8) {
  const std::size_t semicolon = orcpt.find(';');
  if (semicolon == std::string::npos) return;
  const std::string type = orcpt.substr(0, semicolon);
  const std::string_view address = std::string_view(orcpt).substr(semicolon + 1);
  // RFC 6533 section 3: an address of type utf-8 has an encoding of its own, without '+'.
  if (type == "utf-8") {
    if (!is_ascii(address) && !utf8) return;
    out.append(" ORCPT=utf-8;").append(address);
  } else {
    out.append(" ORCPT=").append(type).append(";").append(to_xtext(address));
  }
}

void append_rcpt(std::string& out, const mail::Recipient& r, const Transaction& t,
                 const Features& f) {
  out.append("RCPT TO:");
  append_address(out, r.address, t.quote_addresses);
  if (f.dsn) {
    if (r.notify != 0) {
      out.append(" NOTIFY=");
      if ((r.notify & mail::notify_never) != 0) {
        out.append("NEVER");
      } else {
        std::string words;
        if ((r.notify & mail::notify_success) != 0) words += ",SUCCESS";
        if ((r.notify & mail::notify_failure) != 0) words += ",FAILURE";
        if ((r.notify & mail::notify_delay) != 0) words += ",DELAY";
        out.append(words, 1);
      }
    }
    if (!r.orcpt.empty()) append_orcpt(out, r.orcpt, f.smtputf8);
  }
  out.append("\r\n");
}

} // namespace

Obstacle find_obstacle(const Transaction& t, const Features& f) {
  if (f.size && f.size_limit > 0 && t.facts->size > f.size_limit) return Obstacle::too_large;
  if (!f.smtputf8) {
    bool needed = !is_ascii(t.envelope->sender) || (t.envelope->smtputf8 && t.facts->utf8_headers);
    for (const mail::Recipient& r : *t.recipients)
      needed = needed || !is_ascii(r.address);
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
  append_mail(batch.wire, t, f);
  add(Step::mail, 0);
  for (std::size_t i = 0; i < t.recipients->size(); ++i) {
    append_rcpt(batch.wire, (*t.recipients)[i], t, f);
    add(Step::rcpt, static_cast<std::uint32_t>(i));
  }
  batch.wire.append("DATA\r\n");
  add(Step::data, 0);
  batch.commands.back().last_of_group = true;
  return batch;
}

} // namespace postrider::smtp

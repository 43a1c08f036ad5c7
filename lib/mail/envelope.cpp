// SPDX-License-Identifier: MIT
#include "mail/envelope.hpp"

namespace postrider::mail {

namespace {

bool clean(const std::string& text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos;
}

} // namespace

Result<void> check_clean(const Envelope& e) {
  const auto bad = [](std::string_view name) {
    return Error(ErrorKind::protocol, std::string(name) + " holds CR, LF or NUL");
  };
  if (e.recipients.empty()) return Error(ErrorKind::protocol, "no recipient");
  if (!clean(e.sender)) return bad("sender");
  for (const Recipient& recipient : e.recipients) {
    if (!clean(recipient.address)) return bad("recipient");
    if (!clean(recipient.orcpt)) return bad("ORCPT");
    if (!clean(recipient.original)) return bad("original recipient");
  }
  for (const std::string* text : {&e.envid,
                                  &e.client_name,
                                  &e.client_address,
                                  &e.client_port,
                                  &e.helo,
                                  &e.protocol,
                                  &e.sasl_username,
                                  &e.sasl_method,
                                  &e.sasl_sender,
                                  &e.message_id,
                                  &e.hold,
                                  &e.report_for,
                                  &e.report_kind,
                                  &e.forwarded.name,
                                  &e.forwarded.address,
                                  &e.forwarded.port,
                                  &e.forwarded.helo,
                                  &e.forwarded.protocol,
                                  &e.forwarded.id,
                                  &e.forwarded.source})
    if (!clean(*text)) return bad("a fact");
  return {};
}

} // namespace postrider::mail

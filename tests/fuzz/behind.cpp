// SPDX-License-Identifier: MIT
// XCLIENT and XFORWARD attributes; what XFORWARD has said can be said on, and is the same.
#include "behind.hpp"

#include "fuzz/target.hpp"
#include "smtp/command.hpp"
#include "smtp/xforward.hpp"

namespace {
using namespace postrider;

void check_text(std::string_view text) {
  for (const char c : text)
    POSTRIDER_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, text);
}

} // namespace

FUZZ(input) {
  smtpd::ClientChange change;
  change.peer.name = "was.example";
  change.peer.address = "192.0.2.7";
  if (const auto refused = smtpd::take_xclient(input, change)) {
    POSTRIDER_CHECK(refused->code >= 400 && !refused->text.empty());
    POSTRIDER_CHECK(change.peer.name == "was.example" && change.peer.address == "192.0.2.7");
  } else {
    for (const std::string& text :
         {change.peer.name, change.peer.address, change.peer.port, change.peer.reverse_name,
          change.peer.server_address, change.peer.server_port, change.helo, change.peer.login.user})
      check_text(text);
    POSTRIDER_CHECK(change.peer.address.empty() || change.peer.address == "unknown" ||
                        net::Address::parse_ip(change.peer.address, 0),
                    change.peer.address);
  }
  mail::Envelope envelope;
  envelope.sender = "a@b.example";
  envelope.recipients.push_back({.address = "c@d.example"});
  if (smtpd::take_xforward(input, envelope.forwarded)) {
    POSTRIDER_CHECK(envelope.forwarded == mail::Forwarded());
    return;
  }
  POSTRIDER_CHECK(mail::check_clean(envelope).ok());
  check_text(smtpd::shown(envelope.forwarded, true));
  smtp::Features features;
  features.xforward = smtpd::kXforwardAttributes;
  mail::Forwarded again;
  for (const std::string& line : smtp::xforward_commands({&envelope, "4QTest", false}, features)) {
    POSTRIDER_CHECK(line.size() <= 512 && line.ends_with("\r\n"), line);
    const auto command = smtp::parse_command(std::string_view(line).substr(0, line.size() - 2));
    POSTRIDER_CHECK(command.verb == smtp::Verb::xforward, line);
    const auto refused = smtpd::take_xforward(command.arguments, again);
    POSTRIDER_CHECK(!refused, line + (refused ? refused->text : ""));
  }
}

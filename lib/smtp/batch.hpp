// SPDX-License-Identifier: MIT
// The commands of one mail transaction, as text, cut into groups: all that goes out before the
// client waits (RFC 2920 section 3.1). Without PIPELINING every group is one command. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mail/envelope.hpp"
#include "smtp/ehlo.hpp"
#include "smtp/steps.hpp"

namespace postrider::smtp {

struct Batch {
  struct Command {
    Step step;
    std::uint32_t recipient = 0; // Step::rcpt: index into the recipients
    std::uint32_t end = 0;       // of its text in `wire`
    bool last_of_group = false;
  };
  std::string wire;
  std::vector<Command> commands;
};

// What the transaction is about. Views: the batch copies what it needs.
struct Transaction {
  const mail::Envelope* envelope = nullptr;                 // REQUIRED; its recipients are not used
  const std::vector<mail::Recipient>* recipients = nullptr; // REQUIRED
  const mail::ContentFacts* facts = nullptr;                // REQUIRED
  bool quote_addresses = true;                              // smtp_quote_rfc821_envelope
  bool converted = false; // the content is changed on the way, so that its size is not known
  bool chunked = false;   // the content goes by BDAT: there is no DATA
  bool dummy_auth =
      false; // AUTH=<> (RFC 4954 section 5): logged in, and nobody vouches for senders
  std::vector<std::string> xforward = {}; // lines ahead of MAIL (smtp/xforward.hpp)
};

// "rfc822;a@b": where the client did not say, the recipient as it came to us.
std::string original_recipient(const mail::Recipient& recipient);

// What the peer must offer, or the message cannot go to it.
enum class Obstacle : std::uint8_t { none, too_large, needs_smtputf8 };
Obstacle find_obstacle(const Transaction& transaction, const Features& features);

// One command with its CRLF, for who says them one by one. REQUIRES find_obstacle() was none.
std::string mail_command(const Transaction& transaction, const Features& features);
std::string rcpt_command(const mail::Recipient& recipient, const Transaction& transaction,
                         const Features& features);

// XFORWARD..., MAIL, RCPT..., DATA. REQUIRES find_obstacle() was none.
Batch plan_transaction(const Transaction& transaction, const Features& features);

} // namespace postrider::smtp

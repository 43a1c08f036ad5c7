// SPDX-License-Identifier: MIT
// What happened to recipients, and what follows from it. settle() and its relatives write events
// into the queue and into the message's state, in step; round_over() is called when the last entry
// of a message is back and decides: report to the sender, remove, hold, or wait for the next try.
// Bounce first, remove last: a message leaves only when queue::may_remove() says so.
#pragma once

#include <string>
#include <vector>

#include "message.hpp"
#include "notices.hpp"
#include "parts.hpp"

namespace postrider::qmgr {

class Finish {
 public:
  explicit Finish(Parts& parts) : parts_(parts), notices_(parts) {}

  struct Success {
    bool relayed_without_dsn = false; // NOTIFY=SUCCESS is ours to answer
    bool final_delivery = false;      // in a mailbox
  };
  // One outcome for each recipient, as an agent told them.
  void settle(Message& message, const std::vector<std::uint32_t>& recipients,
              const std::vector<mail::Outcome>& outcomes, Success told);
  // What the postmaster should read, unless the message is itself a report or a notice.
  void tell_postmaster(const Message& message, const proto::Delivered& told);
  // By qmgr itself, with a line in the log: final, or for now.
  void settle_here(Message& message, std::uint32_t recipient, mail::Outcome outcome);
  // Of an alias that became others: only the sender is to be told.
  void note_expansion(Message& message, std::uint32_t recipient);
  // An attempt that may have delivered.
  void in_doubt(Message& message, const std::vector<std::uint32_t>& recipients,
                const std::string& text);
  // Deferred without an attempt: the gate says why. Not written to the disk (it is no fact about
  // the mail): after a crash they are simply due earlier.
  void suspend(Message& message, const std::vector<std::uint32_t>& recipients, mail::Gate gate,
               const std::string& dsn, const std::string& text, std::int64_t next_try);
  // An agent died while it worked on this message.
  void strike(Message& message, std::uint32_t strikes);

  void reported(Message& message, Errand errand, const std::vector<std::uint32_t>& recipients);
  // The same, told by the report's own record.
  void note_report(const mail::Envelope& report);

  // REQUIRES: no entries. May destroy the message.
  void round_over(Message& message);

  void hold(Message& message, const std::string& reason);
  void release(Message& message);
  void requeue(Message& message);
  void drop(Message& message); // all that is open; then the round is over

 private:
  void mark(Message& message, const queue::Event& event);
  void dispatch_report(Message& message, Errand errand, std::vector<std::uint32_t> recipients,
                       const std::string& to);
  bool expire(Message& message);
  bool ask_for_reports(Message& message);
  bool is_notice(const Message& message) const;
  std::vector<std::uint32_t> failed(const Message& message) const;
  bool is_poison(const Message& message) const;
  bool warn(Message& message);
  void remove(Message& message);
  void wait(Message& message);

  Parts& parts_;
  Notices notices_;
};

} // namespace postrider::qmgr

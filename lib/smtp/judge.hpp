// SPDX-License-Identifier: MIT
// From replies to per-recipient decisions: the arithmetic of one transaction. Each recipient leaves
// `open` or `accepted` exactly once. Pure; SMTP and LMTP differ in who gets the last replies.
#pragma once

#include <cstdint>
#include <vector>

#include "smtp/reply.hpp"
#include "smtp/steps.hpp"

namespace postrider::smtp {

enum class Decision : std::uint8_t {
  open,      // nothing said yet
  accepted,  // RCPT was accepted; waits for the end of the data
  refused,   // by `reply` to `step`
  delivered, // by `reply` to the end of the data
};

class Judge {
 public:
  explicit Judge(std::size_t recipients) : recipients_(recipients) {}

  void mail(const Reply& reply);
  void rcpt(std::size_t recipient, const Reply& reply);
  enum class Next : std::uint8_t {
    content, // 354, and somebody wants it
    nothing, // 354 though nobody is left: the data must be ended at once, empty
    stop,    // no 354
  };
  Next data(const Reply& reply);
  // The server wants no more of the content; `step` is what the reply is to.
  void content_refused(const Reply& reply, Step step) { refuse_all(step, reply); }
  // SMTP: the one reply is about all who are accepted. `step`: the final dot, or the last chunk.
  void end_of_data(const Reply& reply, Step step = Step::end_of_data);
  // LMTP (RFC 2033 section 4.2): one reply for each accepted recipient, in order. REQUIRES
  // count(accepted) > 0.
  void end_of_data_next(const Reply& reply, Step step = Step::end_of_data);

  Decision decision(std::size_t recipient) const { return recipients_[recipient].decision; }
  Step step(std::size_t recipient) const { return recipients_[recipient].step; }
  // REQUIRES refused or delivered.
  const Reply& reply(std::size_t recipient) const { return replies_[recipients_[recipient].reply]; }
  std::size_t count(Decision decision) const;
  std::size_t size() const { return recipients_.size(); }
  bool any_undecided() const { return count(Decision::open) + count(Decision::accepted) > 0; }

 private:
  struct One {
    Decision decision = Decision::open;
    Step step = Step::mail;
    std::uint32_t reply = 0;
  };
  void decide(One& one, Decision decision, Step step);
  void refuse_all(Step step, const Reply& reply);

  std::vector<One> recipients_;
  std::vector<Reply> replies_; // those that decided something
};

} // namespace postrider::smtp

// SPDX-License-Identifier: MIT
#include "smtp/judge.hpp"

#include "base/check.hpp"

namespace postrider::smtp {

std::size_t Judge::count(Decision decision) const {
  std::size_t n = 0;
  for (const One& one : recipients_)
    n += one.decision == decision ? 1 : 0;
  return n;
}

void Judge::decide(One& one, Decision decision, Step step) {
  one = {decision, step, static_cast<std::uint32_t>(replies_.size() - 1)};
}

void Judge::refuse_all(Step step, const Reply& reply) {
  replies_.push_back(reply);
  for (One& one : recipients_)
    if (one.decision == Decision::open || one.decision == Decision::accepted)
      decide(one, Decision::refused, step);
}

void Judge::mail(const Reply& reply) {
  if (!reply.ok()) refuse_all(Step::mail, reply);
}

void Judge::rcpt(std::size_t recipient, const Reply& reply) {
  One& one = recipients_.at(recipient);
  if (one.decision != Decision::open) return; // MAIL was refused
  if (reply.ok()) {
    one.decision = Decision::accepted;
    return;
  }
  replies_.push_back(reply);
  // RFC 5321 section 4.5.3.1.10: 552 to RCPT is the old way to say "too many recipients". It is
  // also said of mailboxes that are full, with a code of its own, or to the first recipient.
  const bool too_many = reply.code == 552 && count(Decision::accepted) > 0 &&
                        (reply.dsn.empty() || reply.dsn == "5.5.3");
  if (too_many) {
    replies_.back().code = 452;
    if (!replies_.back().dsn.empty()) replies_.back().dsn[0] = '4';
  }
  decide(one, Decision::refused, Step::rcpt);
}

Judge::Next Judge::data(const Reply& reply) {
  const bool wanted = count(Decision::accepted) > 0;
  if (reply.code == 354) return wanted ? Next::content : Next::nothing;
  refuse_all(Step::data, reply);
  return Next::stop;
}

void Judge::end_of_data(const Reply& reply, Step step) {
  if (!reply.ok()) return refuse_all(step, reply);
  replies_.push_back(reply);
  for (One& one : recipients_)
    if (one.decision == Decision::accepted) decide(one, Decision::delivered, step);
}

void Judge::end_of_data_next(const Reply& reply, Step step) {
  for (One& one : recipients_) {
    if (one.decision != Decision::accepted) continue;
    replies_.push_back(reply);
    decide(one, reply.ok() ? Decision::delivered : Decision::refused, step);
    return;
  }
  POSTRIDER_UNREACHABLE();
}

} // namespace postrider::smtp

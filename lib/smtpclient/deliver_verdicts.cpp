// SPDX-License-Identifier: MIT
// Delivery and its verdicts: what replies and troubles mean for recipients, what the log says of
// them, and what the postmaster is told.
#include <utility>

#include "base/log.hpp"
#include "smtpclient/deliver.hpp"

namespace postrider::smtpclient {

void Delivery::apply(const Transact& transaction, const std::vector<std::uint32_t>& who,
                     Session& session, bool more_hosts) {
  const smtp::Judge& judge = transaction.judge();
  const Peer& peer = session.peer();
  const auto fail = [&](std::uint32_t recipient, const Trouble& trouble) {
    note(trouble, session);
    const bool final = decide(trouble.cause, trouble.step).next == Next::none || !more_hosts;
    mail::Outcome outcome = to_outcome(trouble, peer);
    if (!final) log_passed_over(trouble, outcome.text);
    settle(recipient, std::move(outcome), final);
  };
  for (std::size_t i = 0; i < who.size(); ++i) {
    switch (judge.decision(i)) {
    case smtp::Decision::delivered: settle(who[i], delivered(judge.reply(i), peer), true); break;
    case smtp::Decision::refused: fail(who[i], trouble_from(judge.reply(i), judge.step(i))); break;
    case smtp::Decision::open:
    case smtp::Decision::accepted:
      POSTRIDER_CHECK(transaction.trouble().has_value());
      fail(who[i], *transaction.trouble());
      break;
    }
  }
  if (transaction.trouble() &&
      decide(transaction.trouble()->cause, transaction.trouble()->step).next == Next::none)
    stop_ = true;
}

void Delivery::settle(std::uint32_t recipient, mail::Outcome outcome, bool final) {
  if (settled_[recipient]) return;
  outcome.tls = security_.tls;
  if (engine_.options.tls.log_feature_status) outcome.tls_status = security_.status;
  outcomes_[recipient] = std::move(outcome);
  if (!final) return;
  settled_[recipient] = true;
  --open_;
}

void Delivery::fail_all(const Trouble& trouble, const Peer& peer, bool more_hosts) {
  const Row row = decide(trouble.cause, trouble.step);
  // Look-up failures do not end it when another next hop is left.
  const bool lookup = trouble.step == smtp::Step::lookup;
  const bool final =
      !more_hosts || (row.next == Next::none && !lookup) || trouble.cause == Cause::cancelled;
  const mail::Outcome outcome = to_outcome(trouble, peer);
  if (!final && !done()) log_passed_over(trouble, outcome.text);
  for (std::uint32_t i = 0; i < settled_.size(); ++i) {
    // A host without SMTPUTF8 says nothing about one that may have it and was not ready before.
    const bool hope = trouble.cause == Cause::needs_smtputf8 && !outcomes_[i].dsn.empty() &&
                      outcomes_[i].verdict == mail::Verdict::deferred;
    settle(i, hope ? outcomes_[i] : outcome, final);
  }
}

// Why the next host is asked: each reason once.
void Delivery::log_passed_over(const Trouble& trouble, const std::string& text) {
  if (std::exchange(logged_, text) == text) return;
  if (trouble.step == smtp::Step::connect)
    log::info(text);
  else
    log::info(request_.content.id.text() + ": " + text);
}

void Delivery::note(const Trouble& trouble, Session& session) {
  const std::string_view of_class = notice_class(trouble);
  // A notice about a notice would go round in circles.
  if (of_class.empty() || request_.envelope.sender.empty() || !session.transcript() ||
      !engine_.options.wants_notice(of_class) || noted_in_ == session_number_)
    return;
  noted_in_ = session_number_;
  if (notice_.of_class.empty()) {
    notice_.of_class = of_class;
    notice_.peer = session.peer().shown_with_port();
  }
  if (!notice_.text.empty()) notice_.text += "\n";
  notice_.text += "Unexpected response from " + session.peer().shown_with_port() +
                  ".\nTranscript of session follows.\n\n" + session.transcript()->text();
}

} // namespace postrider::smtpclient

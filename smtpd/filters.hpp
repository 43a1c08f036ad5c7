// SPDX-License-Identifier: MIT
// The mail filters (milters) of one session: what they are told of it, and what their verdicts
// mean. Owned by a Session whose service has filters; all others pay nothing for them.
#pragma once

#include <string>
#include <string_view>

#include "config.hpp"
#include "mail/envelope.hpp"
#include "milter/chain.hpp"
#include "peer.hpp"
#include "smtp/command.hpp"

namespace postrider::smtpd {

class SessionFilters final : public milter::Macros {
 public:
  // All of these outlive it.
  SessionFilters(ev::Loop& loop, milter::Dialer& dialer,
                 std::shared_ptr<const milter::FilterSet> set, const Config& config,
                 const Peer& peer, const std::string& helo, const bool& esmtp);

  // The transaction that events are about; null between two.
  void begin(mail::Envelope* envelope) { envelope_ = envelope; }
  void end(); // tells the filters when they have not seen its end

  // Each asks the filters in their order, logs what they did, and marks the envelope when it is to
  // be held. Something: the refusal to be said. `stage` is for the log.
  ev::Task<std::optional<smtp::Refusal>> tell(std::string_view stage, const milter::Event& event);
  ev::Task<std::optional<smtp::Refusal>> message(milter::Draft& draft);

  // Of the recipient in hand: as given, and why we refuse it, if we do.
  void set_recipient(std::string_view address, const smtp::Refusal* refusal);
  void set_id(std::string id) { id_ = std::move(id); }
  // A filter threw the message away: the client is told that all is well.
  bool discards() const { return discards_; }
  // The last refusal came from a filter.
  bool refused() const { return refused_; }

  std::optional<std::string> value(std::string_view name) const override;

 private:
  std::optional<smtp::Refusal> heed(std::string_view stage, const milter::Verdict& verdict);
  void log_action(std::string_view action, std::string_view stage, std::string_view text) const;
  std::optional<std::string> value_of_tls(std::string_view name) const;
  std::optional<std::string> value_of_recipient(std::string_view name) const;

  const Config& config_;
  const Peer& peer_;
  const std::string& helo_;
  const bool& esmtp_;
  milter::Chain chain_;
  ev::Loop& loop_;
  mail::Envelope* envelope_ = nullptr;
  std::string id_; // queue id
  std::optional<std::string> recipient_;
  std::optional<smtp::Refusal> recipient_refusal_;
  bool discards_ = false;
  bool refused_ = false;
};

} // namespace postrider::smtpd

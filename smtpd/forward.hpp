// SPDX-License-Identifier: MIT
// In-session forwarding of one transaction: whose mail goes to which next server, what is passed on
// when, and how the answers about several recipients become one. Owned by the transaction; what is
// under way ends with it.
//
//   F5  250 to content is said only when each recipient was taken by a next server or by our queue.
//       Next servers come first: what they have refused is not queued, and when the queue fails
//       behind them, the client hears 4xx and sends again what some have already
//   F6  of answers that differ none is lost: with smtpd_forward_split = queue our queue takes who
//       was refused while others were taken; without it there is no such case, because a message
//       goes to one recipient at a time wherever each of them has an answer of its own
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "forward/transfer.hpp"
#include "milter/spool.hpp"
#include "queue/id.hpp"
#include "sink.hpp"

namespace postrider::smtpd {

struct Peer;

class Forwarding {
 public:
  // All must outlive it.
  Forwarding(forward::Servers& servers, submit::Submitter& submitter, const Peer& peer,
             const mail::Envelope& envelope);

  // Whether a domain stands in smtpd_forward_maps. A question for maps::ask().
  static Result<bool> is_listed(forward::Servers& servers, std::string_view domain);

  // Each WAITS, and says what the client is to hear. `size`: of SIZE=.
  ev::Task<Answer> mail(std::optional<std::uint64_t> size);
  ev::Task<Answer> rcpt(ev::Lent<const mail::Recipient> recipient);
  ev::Task<Answer> data(); // 354, or why not

  // Nobody is to be passed on: all of it is for the queue. Only that can hold mail, and send it
  // through a filter.
  bool is_for_queue() const {
    return route_->queue || passed_on() == 0 || !envelope_.hold.empty() ||
           !envelope_.filter.empty();
  }
  struct Content {
    // smtpd_end_of_data_restrictions are still to come, and may change where it goes: until then
    // none of it is passed on.
    bool is_kept = false;
    OpenQueue open_queue; // for what is queued after all
  };
  // REQUIRES !is_for_queue().
  std::unique_ptr<Sink> sink(const submit::MakeHead& make_head, Content content);

 private:
  class ContentSink;
  struct Route {
    bool queue = false;
    forward::Targets targets;
    bool operator==(const Route&) const = default;
  };
  struct Settled {
    mail::Recipient recipient;
    Answer answer;
  };
  const forward::Rules& rules() const { return servers_.rules(); }
  // Recipients that are not our queue's.
  std::size_t passed_on() const;
  // The next server has heard of these recipients and this sender, and of no others: filters may
  // have changed them since.
  bool is_up_to_date() const;
  bool has_one_route() const { return rules().by_sender || servers_.maps().empty(); }
  bool is_separate() const; // each recipient has an answer of its own at the end
  Result<Route> route_of(std::string_view address);
  ev::Task<Result<Route>> find_route(const std::string& address);
  ev::Task<Answer> open(); // a transfer, and MAIL
  ev::Task<Answer> pass_on(ev::Lent<const mail::Recipient> recipient);
  ev::Task<Answer> queue_up(ev::Lent<const mail::Recipient> recipient);
  // REDIRECT and BCC put in recipients without a RCPT of the client's.
  ev::Task<std::optional<Answer>> route_added();
  forward::Asking asking() const;

  forward::Servers& servers_;
  submit::Submitter& submitter_;
  const Peer& peer_;
  const mail::Envelope& envelope_;
  queue::Id id_; // made here, and no id of the queue
  std::optional<Route> route_;
  std::optional<std::uint64_t> size_;
  bool late_; // the next server hears of it behind the end of the content
  std::unique_ptr<forward::Transfer> transfer_; // unless late
  std::string sender_;                          // that it has said
  std::unordered_set<std::string> routed_;      // recipients whose route is known
  std::unordered_set<std::string> queued_;      // those that are our queue's
};

} // namespace postrider::smtpd

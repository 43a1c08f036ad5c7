// SPDX-License-Identifier: MIT
#include "forward.hpp"

#include <algorithm>
#include <unistd.h>

#include "base/log.hpp"
#include "mail/address.hpp"
#include "maps/ask.hpp"
#include "maps/keys.hpp"
#include "peer.hpp"

namespace postrider::smtpd {

namespace {

constexpr Duration kTableTime = std::chrono::seconds(30); // for one answer of smtpd_forward_maps
constexpr Duration kQueuePatience = std::chrono::seconds(10);

// In the log and in Received: they look like queue ids. No loan of the queue reaches the upper half
// of its sequence numbers.
queue::Id new_id(ev::Loop& loop) {
  static std::uint32_t count = static_cast<std::uint32_t>(::getpid()) * 7919;
  constexpr std::uint32_t kUpperHalf = 1U << (queue::Id::kSequenceBits - 1);
  const auto now = static_cast<std::uint64_t>(to_unix_micros(loop.clock().wall())) / 1000;
  return queue::Id::make(now, kUpperHalf | (++count & (kUpperHalf - 1)));
}

const Answer kTryAgain{451, "4.3.0", "Error: temporary lookup failure"};

} // namespace

Forwarding::Forwarding(forward::Servers& servers, submit::Submitter& submitter, const Peer& peer,
                       const mail::Envelope& envelope)
    : servers_(servers), submitter_(submitter), peer_(peer), envelope_(envelope),
      id_(new_id(servers.loop())), late_(servers.rules().after_content) {}

std::size_t Forwarding::passed_on() const {
  std::size_t count = 0;
  for (const mail::Recipient& recipient : envelope_.recipients)
    if (queued_.count(recipient.address) == 0) ++count;
  return count;
}

bool Forwarding::is_up_to_date() const {
  if (!transfer_ || sender_ != envelope_.sender) return false;
  const std::vector<forward::Transfer::Passed>& passed = transfer_->passed();
  std::size_t i = 0;
  for (const mail::Recipient& recipient : envelope_.recipients) {
    if (queued_.count(recipient.address) > 0) continue;
    if (i == passed.size() || passed[i].recipient.address != recipient.address) return false;
    ++i;
  }
  return i == passed.size();
}

Result<bool> Forwarding::is_listed(forward::Servers& servers, std::string_view domain) {
  if (domain.empty() || servers.maps().empty()) return false;
  POSTRIDER_TRY(const std::optional<std::string> found,
                maps::search(servers.maps(), maps::domain_keys(domain, {})));
  return found.has_value();
}

Result<Forwarding::Route> Forwarding::route_of(std::string_view address) {
  Route route;
  if (!servers_.maps().empty() && !address.empty()) {
    const maps::KeyRules rules_of_keys{.delimiters = rules().address_delimiters};
    POSTRIDER_TRY(const std::optional<std::string> found,
                  maps::search(servers_.maps(), maps::transport_keys(address, rules_of_keys)));
    if (found && *found == "queue") {
      route.queue = true;
      return route;
    }
    if (found) {
      POSTRIDER_TRY(route.targets, servers_.parse(*found));
      return route;
    }
  }
  route.targets = rules().targets;
  route.queue = route.targets.empty();
  return route;
}

ev::Task<Result<Forwarding::Route>> Forwarding::find_route(const std::string& address) {
  const std::function<Result<Route>()> question = [&] { return route_of(address); };
  const ev::Deadline limit = servers_.loop().after(kTableTime);
  Result<Route> route = co_await maps::ask<Route>(servers_.loop(), question, limit);
  if (!route) log::warning("smtpd_forward_maps: " + route.error().text());
  co_return route;
}

bool Forwarding::is_separate() const {
  return std::any_of(route_->targets.begin(), route_->targets.end(),
                     [](const forward::Target& t) { return t.kind == forward::Kind::lmtp; });
}

forward::Asking Forwarding::asking() const {
  forward::Asking asking;
  asking.id = id_.text();
  asking.sender = envelope_.sender;
  asking.arrival = envelope_.arrival;
  if (rules().auth != forward::Auth::forward) return asking;
  auto login = std::make_shared<smtpclient::Login>();
  login->user = peer_.login.said_user;
  login->password = peer_.login.said_password;
  login->mechanisms = {"PLAIN", "LOGIN"};
  login->key = smtpclient::login_key(*login, "");
  asking.login = std::move(login);
  return asking;
}

ev::Task<Answer> Forwarding::mail(std::optional<std::uint64_t> size) {
  size_ = size;
  const bool knows_password = !peer_.login.method.empty() && !peer_.login.said_password.empty();
  if (rules().auth == forward::Auth::forward && !knows_password)
    co_return Answer{530, "5.7.0", "Authentication required"};
  const bool may_relay = peer_.trusted || !peer_.login.method.empty();
  if (rules().check_sender && !may_relay) {
    const std::string domain(mail::domain_part(envelope_.sender));
    const std::function<Result<bool>()> question = [&] { return is_listed(servers_, domain); };
    const ev::Deadline limit = servers_.loop().after(kTableTime);
    Result<bool> listed = co_await maps::ask<bool>(servers_.loop(), question, limit);
    if (!listed) {
      log::warning("smtpd_forward_maps: " + listed.error().text());
      co_return kTryAgain;
    }
    if (*listed)
      co_return Answer{553, "5.7.1",
                       "<" + mail::to_external(envelope_.sender) +
                           ">: Sender address rejected: not logged in"};
  }
  if (!has_one_route()) co_return Answer{250, "2.1.0", "Ok"};
  Result<Route> route = co_await find_route(envelope_.sender);
  if (!route) co_return kTryAgain;
  route_ = std::move(*route);
  if (route_->queue || late_) co_return Answer{250, "2.1.0", "Ok"};
  co_return co_await open();
}

ev::Task<Answer> Forwarding::open() {
  transfer_ = std::make_unique<forward::Transfer>(servers_, route_->targets, envelope_, asking());
  // The content is still to come: what the client says of it has to do.
  mail::ContentFacts facts;
  facts.size = size_.value_or(0);
  facts.utf8_headers = envelope_.smtputf8;
  facts.has_8bit = envelope_.smtputf8 || envelope_.body == mail::Body::eight_bit_mime;
  sender_ = envelope_.sender;
  Answer answer = co_await transfer_->mail(facts, size_.has_value());
  if (!forward::is_yes(answer)) transfer_.reset();
  co_return answer;
}

ev::Task<Answer> Forwarding::rcpt(ev::Lent<const mail::Recipient> recipient) {
  routed_.insert(recipient->address);
  const bool first = passed_on() == 0 && queued_.empty();
  Route route;
  if (has_one_route()) {
    route = *route_;
  } else {
    Result<Route> found = co_await find_route(recipient->address);
    if (!found) co_return kTryAgain;
    route = std::move(*found);
  }
  if (first && route_ != route) {
    transfer_.reset(); // of a recipient that was refused there
    route_ = route;
  }
  const bool same = *route_ == route;
  if (!same && !rules().queues_rest)
    co_return Answer{451, "4.5.3",
                     "<" + mail::to_external(recipient->address) +
                         ">: Recipient address rejected: its mail goes another way than that of "
                         "the first recipient, try again"};
  if (!same || route.queue) co_return co_await queue_up(recipient);
  const bool another = passed_on() > 0;
  const bool one_by_one = rules().one_recipient || is_separate();
  if (another && one_by_one && !rules().queues_rest)
    co_return Answer{452, "4.5.3", "Error: too many recipients"};
  if (another && rules().one_recipient && !late_) co_return co_await queue_up(recipient);
  co_return co_await pass_on(recipient);
}

ev::Task<Answer> Forwarding::pass_on(ev::Lent<const mail::Recipient> recipient) {
  Answer answer{250, "2.1.5", "Ok"};
  if (!late_) {
    if (!transfer_) {
      answer = co_await open();
      if (!forward::is_yes(answer)) co_return answer;
    }
    answer = co_await transfer_->rcpt(recipient);
  }
  co_return answer;
}

ev::Task<Answer> Forwarding::queue_up(ev::Lent<const mail::Recipient> recipient) {
  if (!submitter_.knows_queue()) {
    const ev::Deadline limit = servers_.loop().after(kQueuePatience);
    Result<void> there = co_await submitter_.wait_for_queue(limit);
    (void)there; // may_accept() says so
  }
  const Result<void> room = submitter_.may_accept();
  if (!room) {
    log::warning("mail from " + peer_.shown() + " is put off: " + room.error().text());
    if (room.error().kind() == ErrorKind::busy)
      co_return Answer{452, "4.3.1", "Insufficient system storage"};
    co_return Answer{451, "4.3.0", "Error: the queue is not available"};
  }
  queued_.insert(recipient->address);
  co_return Answer{250, "2.1.5", "Ok"};
}

ev::Task<std::optional<Answer>> Forwarding::route_added() {
  for (const mail::Recipient& recipient : envelope_.recipients) {
    if (has_one_route() || !routed_.insert(recipient.address).second) continue;
    Result<Route> route = co_await find_route(recipient.address);
    if (!route) co_return kTryAgain;
    if (envelope_.recipients.size() == 1) { // there is no other one any more
      route_ = std::move(*route);
    } else if (route->queue || *route_ != *route) {
      Answer queued = co_await queue_up(recipient);
      if (!forward::is_yes(queued)) co_return queued;
    }
  }
  co_return std::nullopt;
}

ev::Task<Answer> Forwarding::data() {
  std::optional<Answer> refusal = co_await route_added();
  if (refusal) co_return *refusal;
  if (!is_for_queue() && !late_) {
    if (is_up_to_date()) co_return co_await transfer_->data();
    transfer_.reset(); // a filter does not want somebody whom the next server has accepted
    late_ = true;
  }
  co_return Answer{354, "", "End data with <CR><LF>.<CR><LF>"};
}

} // namespace postrider::smtpd

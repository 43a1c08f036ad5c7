// SPDX-License-Identifier: MIT
#include "intake.hpp"

#include <algorithm>
#include <map>

#include "base/log.hpp"
#include "dispatch.hpp"
#include "finish.hpp"
#include "maps/ask.hpp"
#include "store.hpp"

namespace postrider::qmgr {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLoadBatch = 100;
constexpr std::size_t kMostLoaded = 400;   // loaded and not yet active
constexpr std::size_t kMostStoring = 4000; // beyond this nothing is loaded
constexpr std::size_t kActivationsPerTurn = 512;
constexpr Duration kRouteLimit = std::chrono::seconds(100); // for the tables of one recipient
constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kLongestSleep = 60 * kSecond;
constexpr std::int64_t kFarLookEvery = 300 * kSecond;

} // namespace

Intake::Intake(Parts& parts) : parts_(parts) {}
Intake::~Intake() = default;

Message* Intake::find(queue::Id id) const {
  const auto found = messages_.find(id);
  return found == messages_.end() ? nullptr : found->second.get();
}

// --- into memory and out of it -----------------------------------------------------------------

void Intake::set_phase(Message& message, Phase phase) {
  if (message.phase == phase) return;
  const auto count = [&](Phase which, int by) {
    switch (which) {
    case Phase::arrived: fresh_count_ += static_cast<std::size_t>(by); break;
    case Phase::active:
      active_ += static_cast<std::size_t>(by);
      active_recipients_ += static_cast<std::size_t>(by) * message.state.recipients.size();
      break;
    case Phase::storing: storing_ += static_cast<std::size_t>(by); break;
    case Phase::resting: break;
    }
  };
  count(message.phase, -1);
  message.phase = phase;
  count(phase, 1);
}

void Intake::admit(queue::Arrived&& arrived, bool loaded) {
  const queue::Id id = arrived.state.id;
  auto made = std::make_unique<Message>();
  Message& message = *made;
  message.state = std::move(arrived.state);
  message.entered = parts_.wall();
  if (!messages_.emplace(id, std::move(made)).second) {
    log::error(id.text() + ": admitted twice");
    return;
  }
  ++fresh_count_;
  if (loaded) {
    ++loaded_count_;
    loaded_.push_back(id);
  } else {
    ++parts_.counters.accepted;
    fresh_.push_back(id);
    if (!message.state.envelope.report_for.empty())
      parts_.finish->note_report(message.state.envelope);
  }
  if (message.state.place.in_segment()) by_age_.emplace_back(parts_.loop.now(), id);
}

void Intake::erase(Message& message) {
  set_phase(message, Phase::resting); // uncounted
  messages_.erase(message.id());
}

void Intake::parked(Message& message) {
  if (!message.state.held) {
    // A little later, when the index knows of it.
    const std::int64_t due = queue::due_at(message.state) + kSecond / 5;
    next_look_ = std::min(next_look_, due);
  }
  erase(message);
}

void Intake::again(Message& message) {
  set_phase(message, Phase::active);
  again_.push_back(message.id());
}

void Intake::rest(Message& message) {
  set_phase(message, Phase::resting);
  const std::int64_t soon = parts_.now() + 30 * kSecond;
  const std::int64_t due = message.state.held ? soon : queue::due_at(message.state);
  resting_.emplace(std::min(due, soon), message.id());
}

void Intake::activate(Message& message) {
  set_phase(message, Phase::active);
  if (message.drop_wanted || message.hold_wanted || message.state.held) {
    parts_.finish->round_over(message);
    return;
  }
  if (parts_.around.routes_wait) {
    if (message.routing != 0) return; // goes on when that ends
    message.routing = ++routings_;
    parts_.tasks.spawn(route_slowly(message.id(), message.routing), "route a message");
    return;
  }
  parts_.dispatch->route(message);
  if (message.entries.empty()) parts_.finish->round_over(message);
}

// Meanwhile the message may be held, dropped, stored and even come back, so it is looked for after
// each wait.
ev::RootTask Intake::route_slowly(queue::Id id, std::uint64_t number) {
  Dispatch::Routes routes;
  for (std::uint32_t i = 0;; ++i) {
    Message* const message = find(id);
    if (message == nullptr || message->routing != number) co_return;
    if (message->phase != Phase::active) {
      message->routing = 0;
      co_return;
    }
    if (i >= message->state.recipients.size()) {
      message->routing = 0;
      parts_.dispatch->route(*message, routes);
      if (message->entries.empty()) parts_.finish->round_over(*message);
      co_return;
    }
    if (!parts_.dispatch->is_wanted(*message, i)) continue;
    if (message->state.envelope.recipients[i].expanded) continue; // goes nowhere
    const std::string recipient = message->state.envelope.recipients[i].address;
    mail::Envelope envelope; // what of it counts for a route
    envelope.sender = message->state.envelope.sender;
    envelope.filter = message->state.envelope.filter;
    const std::function<Result<Route>()> question = [&] {
      return parts_.around.route(recipient, envelope);
    };
    const ev::Deadline deadline = parts_.loop.after(kRouteLimit);
    Result<Route> route = co_await maps::ask<Route>(parts_.loop, question, deadline);
    if (parts_.stopping) co_return;
    routes.emplace(i, std::move(route));
  }
}

// For one more message, however many recipients that has.
bool Intake::has_room() const {
  return active_ < parts_.params.active_limit && active_recipients_ < parts_.params.recipient_limit;
}

// One of the fresh, one of those from the disk.
Message* Intake::next_in_turn() {
  turn_of_loaded_ = !turn_of_loaded_;
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::deque<queue::Id>& line = turn_of_loaded_ == (attempt == 0) ? loaded_ : fresh_;
    while (!line.empty()) {
      Message* const message = find(line.front());
      line.pop_front();
      if (&line == &loaded_ && loaded_count_ > 0) --loaded_count_;
      if (message != nullptr && message->phase == Phase::arrived) return message;
    }
  }
  return nullptr;
}

void Intake::turn_end() {
  if (parts_.stopping) return;
  for (std::size_t n = again_.size(); n > 0; --n) {
    Message* const message = find(again_.front());
    again_.pop_front();
    if (message != nullptr && message->phase == Phase::active && message->entries.empty())
      activate(*message);
  }
  // Bounded per turn, so that sockets are looked at in between.
  for (std::size_t n = 0; n < kActivationsPerTurn && has_room(); ++n) {
    Message* const message = next_in_turn();
    if (message == nullptr) break;
    message->entered = std::max(message->entered, message->state.envelope.arrival);
    log_active(*message, parts_.params.log);
    activate(*message);
  }
  parts_.dispatch->pump();
  load_due();
}

bool Intake::has_more() const {
  return !again_.empty() || (fresh_count_ > 0 && has_room()) ||
         (!wanted_.empty() && !loading_ && storing_ < kMostStoring);
}

void Intake::tick() {
  if (parts_.stopping) return;
  const std::int64_t now = parts_.now();
  if (const std::int64_t jump = parts_.keeper.take_jump(); jump != 0)
    log::warning("the clock was set by " + std::to_string(jump / kSecond) +
                 " seconds; the schedule of the queue goes on as if it had not been");
  while (!resting_.empty() && resting_.begin()->first <= now) {
    Message* const message = find(resting_.begin()->second);
    resting_.erase(resting_.begin());
    if (message != nullptr && message->phase == Phase::resting) again(*message);
  }
  age();
  check_space();
  if (parts_.queue.has_orphans()) {
    for (queue::Arrived& arrived : parts_.queue.adopt_orphans())
      admit(std::move(arrived), false);
    if (!parts_.queue.has_orphans()) parts_.dispatch->resume_reports();
  }
  if (now >= next_far_look_) {
    next_far_look_ = now + kFarLookEvery;
    const queue::Index::Due after{farthest_try(parts_.params.retry, now), queue::Id()};
    if (auto far = parts_.queue.index().due(INT64_MAX, kLoadBatch, after); far)
      for (const queue::Index::Due& entry : *far)
        wish(entry.id, Wish::retry);
  }
}

// Mail that is still here after journal_residence_time moves to a file, so that segments come free.
// What still waits for room goes to the disk altogether.
void Intake::age() {
  const SteadyTime limit = parts_.loop.now() - parts_.params.residence;
  while (!by_age_.empty() && by_age_.front().first <= limit) {
    Message* const message = find(by_age_.front().second);
    by_age_.pop_front();
    if (message == nullptr || !message->state.place.in_segment()) continue;
    if (message->phase == Phase::arrived) {
      for (queue::RecipientState& recipient : message->state.recipients)
        if (!queue::is_settled(recipient) && recipient.gate == mail::Gate::none)
          recipient.gate = mail::Gate::queue_full;
      parts_.store->put(*message);
    } else if (message->phase == Phase::active) {
      parts_.store->move_out(*message);
    }
  }
}

// --- from the disk -----------------------------------------------------------------------------

void Intake::wish(queue::Id id, Wish wish, const std::string& reason) {
  Wanted wanted{.id = id, .wish = wish, .reason = reason};
  if (Message* const message = find(id))
    fulfil(*message, wanted);
  else
    wanted_.push_back(std::move(wanted));
}

void Intake::fulfil(Message& message, const Wanted& wanted) {
  switch (wanted.wish) {
  case Wish::none: return;
  case Wish::hold:
    parts_.dispatch->withdraw(message);
    message.hold_wanted = true;
    message.hold_reason = wanted.reason;
    break;
  case Wish::drop:
    parts_.dispatch->withdraw(message);
    message.drop_wanted = true;
    break;
  case Wish::release:
    message.hold_wanted = false;
    if (message.state.held) parts_.finish->release(message);
    message.forced = true;
    break;
  case Wish::requeue:
    message.hold_wanted = false;
    parts_.finish->requeue(message);
    message.forced = true;
    break;
  case Wish::retry:
    if (message.state.held) break;
    message.forced = true;
    break;
  }
  // With deliveries under way its round ends when they do.
  if (message.entries.empty()) again(message);
}

void Intake::want_all() {
  std::vector<queue::Id> here; // on their way to the disk, or kept from it
  for (const auto& [id, message] : messages_)
    if ((message->phase == Phase::storing || message->phase == Phase::resting) &&
        !message->state.held)
      here.push_back(id);
  for (const queue::Id id : here)
    wish(id, Wish::retry);
  // What was parked a moment ago is not in the index yet.
  want_all_from_ = parts_.now() + kSecond;
}

void Intake::load_due() {
  if (loading_) return;
  std::vector<queue::Id> ids;
  while (!wanted_.empty() && ids.size() < kLoadBatch && storing_ < kMostStoring) {
    Wanted wanted = std::move(wanted_.front());
    wanted_.pop_front();
    if (Message* const message = find(wanted.id)) {
      fulfil(*message, wanted);
    } else {
      ids.push_back(wanted.id);
      loading_wishes_[wanted.id] = std::move(wanted);
    }
  }
  if (ids.empty() && (loaded_count_ >= kMostLoaded || storing_ >= kMostStoring || !has_room()))
    return;
  if (want_all_from_ != 0 &&
      (parts_.now() >= want_all_from_ ||
       !(parts_.queue.index_needs_write() || parts_.store->writes_index()))) {
    want_all_from_ = 0;
    want_all_after_ = queue::Id();
  }
  if (ids.empty() && want_all_after_) {
    auto page = parts_.queue.index().page(*want_all_after_, kLoadBatch);
    if (!page || page->empty()) {
      want_all_after_.reset();
    } else {
      want_all_after_ = queue::Id(page->back().number);
      for (const queue::IndexEntry& entry : *page) {
        const queue::Id id(entry.number);
        if (entry.folder == queue::Folder::hold || find(id) != nullptr) continue;
        ids.push_back(id);
        loading_wishes_[id].id = id;
      }
    }
  }
  const std::int64_t now = parts_.now();
  if (ids.empty() && now >= next_look_) {
    auto due = parts_.queue.due(now, kLoadBatch);
    if (!due) {
      log::warning("the index cannot be read: " + due.error().text());
      next_look_ = now + 10 * kSecond;
      return;
    }
    ids = std::move(*due);
    if (ids.size() < kLoadBatch) {
      next_look_ = now + kLongestSleep;
      if (auto next = parts_.queue.index().next_due(now); next && *next)
        next_look_ = std::min(next_look_, **next);
      // What could not be offered yet because the index is being written.
      if (parts_.queue.index_needs_write() || parts_.store->writes_index())
        next_look_ = std::min(next_look_, now + kSecond / 5);
    }
  }
  if (!ids.empty()) start_load(ids);
}

void Intake::start_load(const std::vector<queue::Id>& ids) {
  auto job = std::make_shared<queue::LoadJob>(parts_.queue.begin_load(ids));
  FileSystem* const fs = &parts_.fs;
  loading_ = parts_.offload.submit([job, fs] { job->run(*fs); }, [this, job] { end_load(*job); });
  if (loading_) return;
  for (queue::LoadJob::Item& item : job->items)
    item.error = Error(ErrorKind::busy, "too much waits for the disk");
  end_load(*job);
}

void Intake::end_load(queue::LoadJob& job) {
  loading_ = false;
  for (queue::Arrived& arrived : parts_.queue.finish_load(job)) {
    const queue::Id id = arrived.state.id;
    admit(std::move(arrived), true);
    const auto wanted = loading_wishes_.find(id);
    if (wanted == loading_wishes_.end()) continue;
    if (Message* const message = find(id)) fulfil(*message, wanted->second);
  }
  loading_wishes_.clear();
}

// --- room --------------------------------------------------------------------------------------

void Intake::check_space() {
  const SteadyTime now = parts_.loop.now();
  if (now < next_space_check_) return;
  next_space_check_ = now + 2s;
  const auto space = parts_.fs.space_left(parts_.queue.layout().root());
  bool accept = true;
  std::string reason;
  if (!space) {
    accept = false;
    reason = "the queue cannot be looked at: " + space.error().text();
  } else {
    free_bytes_ = space->bytes;
    if (space->bytes < parts_.params.min_free) {
      accept = false;
      reason = "insufficient system storage";
    } else if (space->inodes < 64) {
      accept = false;
      reason = "insufficient system storage (no inodes)";
    }
  }
  if (accept == accepting_ && reason == refuse_reason_) return;
  if (accept != accepting_)
    log::warning(accept ? "new mail is taken again" : "new mail is refused: " + reason);
  accepting_ = accept;
  refuse_reason_ = reason;
  tell_writers();
}

} // namespace postrider::qmgr

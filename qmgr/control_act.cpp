// SPDX-License-Identifier: MIT
// Control: what operators change.
#include "control.hpp"

#include "base/log.hpp"
#include "dispatch.hpp"
#include "intake.hpp"
#include "store.hpp"

namespace postrider::qmgr {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostExamples = 10;

bool is_everything(const proto::Selector& select) {
  proto::Selector all;
  all.all = select.all;
  return select == all;
}

Intake::Wish wish_of(proto::Action action) {
  switch (action) {
  case proto::Action::flush:
  case proto::Action::retry: return Intake::Wish::retry;
  case proto::Action::hold: return Intake::Wish::hold;
  case proto::Action::release: return Intake::Wish::release;
  case proto::Action::requeue: return Intake::Wish::requeue;
  case proto::Action::remove: return Intake::Wish::drop;
  }
  return Intake::Wish::none;
}

// Would the action change a message that stands there?
bool applies(proto::Action action, proto::Where where) {
  switch (action) {
  case proto::Action::flush:
  case proto::Action::retry: return where == proto::Where::deferred;
  case proto::Action::hold: return where != proto::Where::held;
  case proto::Action::release: return where == proto::Where::held;
  case proto::Action::requeue:
  case proto::Action::remove: return true;
  }
  return true;
}

} // namespace

ev::Task<Result<proto::Acted>> Control::act(ev::Lent<const proto::Act> request) {
  proto::Acted acted;
  const proto::Selector& select = request->select;
  const proto::Action action = request->action;
  const Intake::Wish wish = wish_of(action);
  if (action == proto::Action::flush && !request->dry_run)
    parts_.dispatch->flush(select.destination);
  if (action == proto::Action::flush && is_everything(select)) {
    // All at once, without a list of a million ids.
    if (auto size = parts_.queue.index().size(); size) acted.matched = *size;
    acted.changed = acted.matched;
    if (!request->dry_run) parts_.intake->want_all();
    parts_.dispatch->pump();
    co_return std::move(acted);
  }
  const std::string reason =
      request->reason.empty() ? "held by the operator" : request->reason.substr(0, 512);
  std::vector<queue::Id> chosen;
  const auto choose = [&](queue::Id id, proto::Where where, bool in_delivery) {
    ++acted.matched;
    if (acted.examples.size() < kMostExamples) acted.examples.push_back(id.text());
    if (!applies(action, where)) return;
    ++acted.changed;
    if (in_delivery) ++acted.in_delivery;
    chosen.push_back(id);
  };
  if (!select.ids.empty()) {
    for (const std::string& text : select.ids) {
      const auto id = queue::Id::parse(text);
      bool found = false;
      if (id) {
        if (const Message* message = parts_.intake->find(*id)) {
          found = matches(select, *message);
          if (found) choose(*id, where_of(*message), message->in_flight > 0);
        } else if (const auto waiting = read_waiting(*id); waiting) {
          const queue::IndexEntry entry = queue::make_entry(waiting->state, waiting->folder, {});
          proto::Selector rest = select;
          rest.destination.clear();
          found = matches(rest, entry);
          if (found) choose(*id, where_of(waiting->folder), false);
        }
      }
      if (!found) ++acted.not_found;
    }
  } else {
    for (const Message* message : matching_in_memory(select, queue::Id()))
      choose(message->id(), where_of(*message), message->in_flight > 0);
    queue::Id after;
    while (true) {
      auto page = parts_.queue.index().page(after, kIndexPage);
      if (!page) co_return page.error();
      for (const queue::IndexEntry& entry : *page) {
        after = queue::Id(entry.number);
        if (parts_.intake->find(after) == nullptr && matches(select, entry))
          choose(after, where_of(entry.folder), false);
      }
      if (page->size() < kIndexPage) break;
      // Others get their turn between two pages.
      Result<void> slept = co_await ev::SleepUntil(parts_.loop, parts_.loop.after(0ms));
      if (!slept) co_return slept.error();
    }
  }
  if (request->dry_run) co_return std::move(acted);
  for (const queue::Id id : chosen)
    parts_.intake->wish(id, wish, reason);
  if (!chosen.empty())
    log::info("operator: " + std::to_string(chosen.size()) + " messages: " +
              (action == proto::Action::remove    ? "delete"
               : action == proto::Action::hold    ? "hold"
               : action == proto::Action::release ? "release"
               : action == proto::Action::requeue ? "requeue"
                                                  : "retry"));
  // The answer comes when it is done, or nearly: what is shown next should be true.
  const SteadyTime limit = parts_.loop.now() + 5s;
  bool settled = false;
  while (!settled && parts_.loop.now() < limit) {
    Result<void> slept = co_await ev::SleepUntil(parts_.loop, parts_.loop.after(20ms));
    if (!slept) break;
    settled = parts_.intake->wishes() == 0 && parts_.store->waiting() == 0 &&
              parts_.store->jobs() == 0 && !parts_.queue.index_needs_write();
  }
  co_return std::move(acted);
}

} // namespace postrider::qmgr

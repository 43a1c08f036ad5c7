// SPDX-License-Identifier: MIT
#include "destination.hpp"

#include "base/check.hpp"
#include "dispatch.hpp"

namespace postrider::qmgr {

namespace {

Next from_ready(Happening h) {
  switch (h) {
  case Happening::reached: return {State::ready, Deed::none};
  case Happening::died: return {State::dead, Deed::suspend};
  case Happening::backoff_over: return {State::ready, Deed::none}; // a timer that lost the race
  case Happening::flushed: return {State::ready, Deed::none};
  }
  POSTRIDER_UNREACHABLE();
}

Next from_dead(Happening h) {
  switch (h) {
  case Happening::reached: return {State::ready, Deed::resume};
  case Happening::died: return {State::dead, Deed::none}; // others that were out
  case Happening::backoff_over: return {State::probing, Deed::probe};
  case Happening::flushed: return {State::probing, Deed::probe};
  }
  POSTRIDER_UNREACHABLE();
}

Next from_probing(Happening h) {
  switch (h) {
  case Happening::reached: return {State::ready, Deed::resume};
  case Happening::died: return {State::dead, Deed::suspend};
  case Happening::backoff_over: return {State::probing, Deed::none};
  case Happening::flushed: return {State::probing, Deed::none};
  }
  POSTRIDER_UNREACHABLE();
}

} // namespace

Next step(State state, Happening happening) {
  switch (state) {
  case State::ready: return from_ready(happening);
  case State::dead: return from_dead(happening);
  case State::probing: return from_probing(happening);
  }
  POSTRIDER_UNREACHABLE();
}

std::string_view to_string(State state) {
  switch (state) {
  case State::ready: return "ready";
  case State::dead: return "dead";
  case State::probing: return "probing";
  }
  POSTRIDER_UNREACHABLE();
}

Destination::Destination(Transport& owner, std::string key_, std::string nexthop_)
    : transport(owner), key(std::move(key_)), nexthop(std::move(nexthop_)),
      window(owner.limits.window), turns(owner.limits.turns) {}

void Destination::push(Entry& entry, bool in_front) {
  EntryList& list = entry.size == Size::small ? small : large;
  if (in_front)
    list.push_front(entry);
  else
    list.push_back(entry);
  entry.queued = true;
}

void Destination::remove(Entry& entry) {
  (entry.size == Size::small ? small : large).remove(entry);
  entry.queued = false;
}

Entry& Destination::take() {
  const bool both = !small.empty() && !large.empty();
  const Size size = turns.next(!small.empty(), !large.empty());
  if (both)
    turns.took(size);
  else if (large.empty())
    turns.clear();
  Entry& entry = *(size == Size::small ? small : large).front();
  remove(entry);
  return entry;
}

} // namespace postrider::qmgr

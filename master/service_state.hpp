// SPDX-License-Identifier: MIT
// The life of one service of master.cf, as a table. Pure; Service::apply() is the only writer of a
// service's state.
//
//   stopped    holds no child and no watch
//   idle       no child is free: master watches the listening sockets itself, as far as the process
//              limit leaves room
//   starting   a child was forked for waiting clients and has not said ready; nobody watches
//   serving    at least one child is free; nobody watches
//   throttled  children die: nothing is forked until the timer says so; children that are left
//              go on serving. Left by the timer or by stop, by nothing else.
//   stopping   children were told to stop; ends when the last is gone
#pragma once

#include <cstdint>
#include <string_view>

namespace postrider::master {

enum class State : std::uint8_t { stopped, idle, starting, serving, throttled, stopping };
constexpr State highest(State) { return State::stopping; }

enum class Event : std::uint8_t {
  start,
  demand,    // a client waits, or a wake-up is due, or the service shall always run
  has_free,  // a child is free (it became ready, or it is not busy any more)
  none_free, // no child is free or about to be: busy, left, or gone for a good reason
  failed,    // a child died for no good reason and the next one has to wait
  backoff_over,
  stop,
  all_gone, // the last child has been reaped
};
constexpr Event highest(Event) { return Event::all_gone; }

enum class Act : std::uint8_t {
  none,
  watch, // watch the sockets, if the limit leaves room; a resident service demands at once
  fork,  // start one child; stop watching
  unwatch,
  arm_backoff, // stop watching, set the timer
  terminate,   // tell all children to stop; stop watching, disarm timers
  finish,      // nothing is left to wait for
};

struct Next {
  State state;
  Act act;
  bool operator==(const Next&) const = default;
};

Next step(State state, Event event);

std::string_view to_string(State state);
std::string_view to_string(Event event);

} // namespace postrider::master

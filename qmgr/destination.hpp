// SPDX-License-Identifier: MIT
// One destination: a transport and a next hop (and a recipient, where the transport delivers to one
// at a time). A lifecycle driven from outside: step() is the whole of it, Destination::apply() the
// only writer of its state. Destinations belong to their Transport.
#pragma once

#include <memory>
#include <string>

#include "concurrency.hpp"
#include "ev/loop.hpp"
#include "mail/outcome.hpp"
#include "message.hpp"
#include "schedule.hpp"

namespace postrider::qmgr {

struct Transport;

// ready is left only when a window's worth of attempts failed. dead is left by its timer, by the
// operator's flush, or by a delivery that was still out and reached the host. probing has one
// delivery in flight at most; its fate decides.
enum class State : std::uint8_t { ready, dead, probing };
enum class Happening : std::uint8_t {
  reached,      // a delivery reached the host, whatever became of the mail
  died,         // the host could not be reached, and that was one time too many
  backoff_over, // minimal_backoff_time has passed since it died
  flushed,      // by the operator
};
constexpr State kStates[] = {State::ready, State::dead, State::probing};
constexpr Happening kHappenings[] = {Happening::reached, Happening::died, Happening::backoff_over,
                                     Happening::flushed};

enum class Deed : std::uint8_t {
  none,
  suspend, // arm the timer; all that is queued is deferred without an attempt
  probe,   // let one delivery go
  resume,  // forget the timer; begin with a fresh window
};

struct Next {
  State state;
  Deed deed;
  bool operator==(const Next&) const = default;
};
Next step(State state, Happening happening);
std::string_view to_string(State state);

struct Destination {
  Destination(Transport& owner, std::string key_, std::string nexthop_);

  Transport& transport;
  std::string key;
  std::string nexthop;
  Window window;
  State state = State::ready;
  EntryList small, large; // queued
  Turns turns;
  std::uint32_t in_flight = 0;
  Round<Destination>::Place round;
  Agent* agent = nullptr;           // that last had mail for it: may hold an open connection
  mail::Outcome reason;             // why it is dead
  std::int64_t probe_at = 0;        // unix time, microseconds; for people
  SteadyTime next_start{};          // destination_rate_delay
  std::unique_ptr<ev::Timer> timer; // dead
  std::unique_ptr<ev::Timer> pause; // rate delay
  // Agents that surely died of its mail (quarantine.cpp), in a row, without a delivery that came
  // back.
  std::uint32_t agent_deaths = 0;
  queue::Id killer;           // whose death was the last
  bool has_killers = false;   // not all of them were of one message
  bool suspect = false;       // there were some
  std::uint32_t suspects = 0; // its deliveries in quarantine
  bool is_counted = false;    // in transport.busy
  SteadyTime idle_since{};
  // While one message is being routed: its entry for this destination that has room.
  std::uint64_t gather_round = 0;
  Entry* gather = nullptr;

  std::size_t queued() const { return small.size() + large.size(); }
  bool is_idle() const { return queued() == 0 && in_flight == 0 && suspects == 0; }
  Size waiting_size() const { return small.empty() ? Size::large : Size::small; }
  void push(Entry& entry, bool in_front);
  void remove(Entry& entry);
  Entry& take(); // REQUIRES queued() > 0
};

} // namespace postrider::qmgr

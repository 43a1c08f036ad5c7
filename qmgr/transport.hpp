// SPDX-License-Identifier: MIT
// One transport: a service of master.cf that delivers, its destinations, the agent processes that
// are connected, and what of its mail is in quarantine. Owned by Dispatch, the only one to change
// it.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent.hpp"
#include "destination.hpp"
#include "parts.hpp"

namespace postrider::qmgr {

struct Transport {
  Transport(Dispatch& dispatch_, ev::Loop& loop, std::string name_, const TransportLimits& limits_);

  Dispatch& dispatch;
  std::string name;
  TransportLimits limits;
  Round<Destination> round; // destinations that may send now
  std::unordered_map<std::string, std::unique_ptr<Destination>> destinations;
  std::uint32_t busy = 0;                     // destinations with mail queued or in flight
  std::vector<std::unique_ptr<Agent>> agents; // connected; not all of them ready yet
  std::uint32_t capacity = 0;                 // of those that are ready
  std::uint32_t in_flight = 0;
  std::uint64_t queued = 0;
  bool is_report = false;     // bounce: its requests wait and are never deferred
  bool unavailable = false;   // no agent to be had: mail is deferred until `again`
  std::string problem;        // why
  std::uint32_t failures = 0; // connections in a row that came to nothing
  std::uint32_t faults = 0;   // outcomes in a row that blame the transport itself
  ev::Timer again;            // unavailable, or the next connection
  ev::Timer pause;            // transport_rate_delay
  SteadyTime next_start{};
  SteadyTime next_sweep{};
  bool in_pump_list = false;

  // Quarantine (quarantine.cpp): deliveries of which one may have killed an agent.
  EntryList suspects;         // wait for their trial
  std::uint32_t on_trial = 0; // are with an agent
  Agent* cell = nullptr;      // the agent that tries them, and nothing else meanwhile
  std::uint32_t together = 0; // suspects tried at a time, at most; 0: no trial failed yet

  // While one message is being routed: its entries over this transport.
  std::uint64_t gather_round = 0;
  std::uint32_t gather_count = 0;

  bool is_connecting() const;
  Agent* emptiest() const; // ready and not retiring; null: none
};

} // namespace postrider::qmgr

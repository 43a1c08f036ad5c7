// SPDX-License-Identifier: MIT
// What a session is apart from its connection, in the form in which it goes with the descriptor to
// another process by way of scache. Only sessions in the clear and without a login do. What comes
// from there is not trusted: facts that make no sense, and a descriptor that does not lead to the
// server they name, are refused.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.hpp"
#include "smtp/ehlo.hpp"
#include "smtpclient/failure.hpp"

namespace postrider::smtpclient {

struct SessionFacts {
  std::string key; // the endpoint key under which it was saved
  Peer peer;
  smtp::Features features;
  bool delay_dot = false;
  std::uint64_t uses = 0;
  SteadyTime opened{}; // of CLOCK_MONOTONIC, which all processes share

  bool operator==(const SessionFacts&) const = default;
};

std::string encode_facts(const SessionFacts& facts);
// Error protocol: malformed, without a use, or from the future.
Result<SessionFacts> parse_facts(ByteView text, SteadyTime now);
// Whether the descriptor is a TCP connection to the peer. Error closed: it is over; protocol: it is
// something else.
Result<void> check_leads_to(int fd, const Peer& peer);

} // namespace postrider::smtpclient

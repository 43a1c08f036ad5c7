// SPDX-License-Identifier: MIT
// What qmgr asks of bounce about one recipient whom nobody knows.
#pragma once

#include <string_view>

#include "proto/deliver.hpp"
#include "queue/id.hpp"

namespace postrider::bounce {

inline proto::Report sample_request(std::uint32_t slot, std::string_view original) {
  proto::Report out;
  out.slot = slot;
  out.id = queue::Id::make(1790000000000, 1).number();
  out.send_to = "ann@example.com";
  out.handle = 5;
  out.envelope.sender = "ann@example.com";
  out.envelope.arrival = 1790000000000000;
  mail::Recipient bob;
  bob.address = "bob@example.org";
  out.envelope.recipients = {bob};
  out.recipient_indices = {2};
  mail::Outcome outcome;
  outcome.dsn = "5.1.1";
  outcome.text = "no such user";
  out.outcomes = {outcome};
  out.facts.size = original.size();
  out.facts.header_size = 18;
  return out;
}

} // namespace postrider::bounce

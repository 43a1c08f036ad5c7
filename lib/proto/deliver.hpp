// SPDX-License-Identifier: MIT
// deliver: qmgr (client) to a delivery agent: smtp, lmtp, and bounce for its reports. qmgr connects
// to the agent's service socket and keeps the connection for as long as the agent lives; the agent
// serves one such connection and is busy for master from then on.
//
//   agent                                    qmgr
//   Hello{deliver 1}  --------------------->
//   Ready{capacity}   --------------------->
//                     <---------------------  Board{slots} + memfd
//                     <---------------------  OpenContent{handle} + read-only fd
//                     <---------------------  Deliver{slot, ...}     up to `capacity` at a time
//   Delivered{slot, outcomes}  ------------>  one outcome for every recipient, in order
//                     <---------------------  CloseContent{handle}
//   Retiring{}        --------------------->  give me no more; I finish what I have
//
// The board is shared memory, one byte per slot, written by the agent: idle, working, in_doubt.
// The agent stores `in_doubt` before the final dot leaves, and `working` again when every recipient
// was refused; after a delivery the byte stays until the slot is used again. So qmgr, which only
// reads it, knows after the agent's death which deliveries may have happened. Behind the bytes it
// says for which slot code of the agent runs right now (running_at), so that qmgr knows as well of
// which delivery it died, if of any.
// A slot is in use from Deliver to Delivered. Messages are types 32-47.
#pragma once

#include <string>
#include <vector>

#include "mail/envelope.hpp"
#include "mail/outcome.hpp"

namespace postrider::proto {

constexpr std::string_view kDeliverProtocol = "deliver";
constexpr std::uint32_t kDeliverVersion = 1;

enum class SlotState : std::uint8_t { idle = 0, working = 1, in_doubt = 2 };

struct Ready {
  static constexpr std::uint16_t kType = 32;
  std::string program;
  std::uint32_t capacity = 0;  // deliveries at a time
  bool final_delivery = false; // what it delivers is in a mailbox (lmtp_assume_final)
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("program", s.program);
    v("capacity", s.capacity);
    v.optional("final_delivery", s.final_delivery);
  }
};

// Where the board has the number of the slot, plus one, whose delivery the agent works on at this
// instant: 32 bits in the byte order of the machine; 0: none, or the agent does not say.
constexpr std::size_t running_at(std::uint32_t slots) { return (std::size_t{slots} + 3) / 4 * 4; }
constexpr std::size_t board_size(std::uint32_t slots) { return running_at(slots) + 4; }

struct Board { // one descriptor: memfd of board_size(slots) bytes, size sealed
  static constexpr std::uint16_t kType = 33;
  static constexpr std::size_t kDescriptors = 1;
  std::uint32_t slots = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("slots", s.slots);
  }
};

struct OpenContent { // one descriptor, read-only: a segment or a message file
  static constexpr std::uint16_t kType = 34;
  static constexpr std::size_t kDescriptors = 1;
  std::uint64_t handle = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("handle", s.handle);
  }
};

struct CloseContent {
  static constexpr std::uint16_t kType = 35;
  std::uint64_t handle = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("handle", s.handle);
  }
};

struct Deliver {
  static constexpr std::uint16_t kType = 36;
  std::uint32_t slot = 0;
  std::uint64_t id = 0;            // queue::Id::number()
  std::string transport;           // master.cf service name: "smtp", "relay", ...
  std::string nexthop;             // as in parameters: domain, [host]:port, unix:path ...
  std::uint64_t handle = 0;        // content: see OpenContent
  std::uint64_t record_offset = 0; // of the record's header, for the check before the final dot
  std::uint64_t content_offset = 0;
  std::uint64_t tag = 0;       // generation tag the record must carry
  std::int64_t active = 0;     // unix time in microseconds at which it entered memory
  std::int64_t dispatched = 0; // ... at which this request was made
  bool cache_hint = false;     // more mail for this destination waits
  mail::Envelope envelope;     // with only the recipients of this delivery
  std::vector<std::uint32_t> recipient_indices; // in the message's own list; same order
  mail::ContentFacts facts;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("slot", s.slot);
    v("id", s.id);
    v("transport", s.transport);
    v("nexthop", s.nexthop);
    v("handle", s.handle);
    v("record_offset", s.record_offset);
    v("content_offset", s.content_offset);
    v("tag", s.tag);
    v("active", s.active);
    v("dispatched", s.dispatched);
    v("cache_hint", s.cache_hint);
    v("envelope", s.envelope);
    v("recipient_indices", s.recipient_indices);
    v("facts", s.facts);
  }
};

struct Delivered {
  static constexpr std::uint16_t kType = 37;
  std::uint32_t slot = 0;
  std::vector<mail::Outcome> outcomes;
  // Asked for by NOTIFY=SUCCESS: the next hop does not speak DSN, so we must report ("relayed").
  bool relayed_without_dsn = false;
  // best_mx_transport: nothing was tried; deliver all of it by this transport[:nexthop] instead.
  std::string pass_to;
  // What the postmaster should read (notify_classes): "protocol", "data", ... and the session's
  // transcript, credentials removed, with the host it was held with. Empty: nothing.
  std::string notice_class;
  std::string notice;
  std::string notice_peer;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("slot", s.slot);
    v("outcomes", s.outcomes);
    v.optional("relayed_without_dsn", s.relayed_without_dsn);
    v.optional("pass_to", s.pass_to);
    v.optional("notice_class", s.notice_class);
    v.optional("notice", s.notice);
    v.optional("notice_peer", s.notice_peer);
  }
};

struct Retiring {
  static constexpr std::uint16_t kType = 38;
  template <typename V, typename S>
  static void fields(V&, S&) {}
};

// --- bounce: the same conversation, with Report in place of Deliver ----------------------------

enum class ReportKind : std::uint8_t { failed, delayed, success };
constexpr ReportKind highest(ReportKind) { return ReportKind::success; }

struct Report {
  static constexpr std::uint16_t kType = 40;
  std::uint32_t slot = 0;
  ReportKind kind = ReportKind::failed;
  std::uint64_t id = 0;
  std::string send_to; // who gets the report: the sender, or 2bounce_notice_recipient
  std::uint64_t handle = 0;
  std::uint64_t content_offset = 0;
  mail::Envelope envelope; // of the original; recipients: those reported
  std::vector<std::uint32_t> recipient_indices;
  std::vector<mail::Outcome> outcomes; // same order
  mail::ContentFacts facts;
  std::int64_t expires = 0;    // unix time in microseconds when we give up; for `delayed`
  std::int64_t next_try = 0;   // the same, of the next attempt; for `delayed`
  bool final_delivery = false; // `success`: in a mailbox (LMTP), not merely relayed
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("slot", s.slot);
    v("kind", s.kind);
    v("id", s.id);
    v("send_to", s.send_to);
    v("handle", s.handle);
    v("content_offset", s.content_offset);
    v("envelope", s.envelope);
    v("recipient_indices", s.recipient_indices);
    v("outcomes", s.outcomes);
    v("facts", s.facts);
    v("expires", s.expires);
    v.optional("next_try", s.next_try);
    v.optional("final_delivery", s.final_delivery);
  }
};

// To the postmaster, about a session of an agent; answered by Reported as well.
struct Notice {
  static constexpr std::uint16_t kType = 42;
  std::uint32_t slot = 0;
  std::uint64_t id = 0;     // of the message that was to be delivered
  std::string notice_class; // these three as in Delivered
  std::string peer;
  std::string transcript;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("slot", s.slot);
    v("id", s.id);
    v("notice_class", s.notice_class);
    v.optional("peer", s.peer);
    v("transcript", s.transcript);
  }
};

struct Reported {
  static constexpr std::uint16_t kType = 41;
  std::uint32_t slot = 0;
  bool ok = false;             // the report is durable in the queue
  std::uint64_t report_id = 0; // its queue id
  std::string text;            // why not
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("slot", s.slot);
    v("ok", s.ok);
    v.optional("report_id", s.report_id);
    v.optional("text", s.text);
  }
};

} // namespace postrider::proto

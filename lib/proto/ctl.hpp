// SPDX-License-Identifier: MIT
// ctl: what the operator asks of qmgr (`postrider queue`, `why`, `cat`, `flush`, ..., `sendmail
// -bp`). Spoken on qmgr's service socket, like intake.hpp. Any local user may connect: peer
// credentials decide. root may do everything, and the owner of the queue who shows that it can open
// the queue's lock file (OwnerProof); others may list and ask why when authorized_mailq_users has
// them, and flush when authorized_flush_users has them.
//
//   qmgr                                      client
//   Hello{qmgr 1}  ------------------------->
//                  <-------------------------  Open{control, "postrider"}
//                  <-------------------------  OwnerProof + the lock file, if it can be opened
//                  <-------------------------  one request
//   its answer     ------------------------->  and so on, one at a time, in order
//
//   ListQueue -> QueuePage      a page in order of id; ask again with after = next while more
//   CountQueue -> QueueCounts
//   Why -> WhyAnswer            or Refused{not_found}
//   Cat -> CatAnswer + read-only fd
//   Act -> Acted                counts what it did, or with dry_run would do; by pages too
//   AskStatus -> StatusAnswer
//   any -> Refused              not allowed, not found, no sense, not now
//
// Role trigger: Open{trigger, ...}, then Trigger, no answer; qmgr closes. Messages are types 64-95.
// Times are unix time in microseconds, 0 when there is none.
#pragma once

#include <string>
#include <vector>

#include "mail/envelope.hpp"
#include "mail/outcome.hpp"
#include "proto/intake.hpp"

namespace postrider::proto {

// Where a message stands, in the words of the queue view.
enum class Where : std::uint8_t { incoming, active, deferred, held };
constexpr Where highest(Where) { return Where::held; }
constexpr std::string_view to_string(Where where) {
  switch (where) {
  case Where::incoming: return "incoming";
  case Where::active: return "active";
  case Where::deferred: return "deferred";
  case Where::held: return "hold";
  }
  return "";
}

// Which messages. Every field that is not empty must agree; an empty selector is refused by Act
// unless `all` is set. Texts compare without regard to case.
struct Selector {
  bool all = false;
  std::vector<std::string> ids; // queue ids as text; unknown ones are counted
  std::vector<Where> where;     // any of these
  std::string destination;      // domain of an open recipient, or next hop in memory
  std::string sender;           // whole address; "<>" for the null sender; "@domain"
  std::string recipient;        // whole address of a recipient; "@domain"
  std::string reason;           // part of the last reason
  bool operator==(const Selector&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v.optional("all", s.all);
    v.optional("ids", s.ids);
    v.optional("where", s.where);
    v.optional("destination", s.destination);
    v.optional("sender", s.sender);
    v.optional("recipient", s.recipient);
    v.optional("reason", s.reason);
  }
};

struct ListQueue {
  static constexpr std::uint16_t kType = 64;
  Selector select;
  std::string after;            // id; empty: from the beginning
  std::uint32_t limit = 100;    // messages; qmgr takes at most kMostPerPage
  std::uint32_t recipients = 1; // of each message at most this many
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("select", s.select);
    v.optional("after", s.after);
    v("limit", s.limit);
    v("recipients", s.recipients);
  }
};
inline constexpr std::uint32_t kMostPerPage = 1000;

struct QueueRecipient {
  std::string address;
  std::string reason; // last reply or error; empty: none yet
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("address", s.address);
    v.optional("reason", s.reason);
  }
};

struct QueueItem {
  std::string id;
  Where where = Where::active;
  std::uint64_t size = 0;
  std::int64_t arrival = 0;
  std::int64_t next_try = 0;
  std::string sender;
  std::uint32_t open_recipients = 0;
  std::vector<QueueRecipient> recipients; // open ones, the first of them
  std::vector<std::string> destinations;  // of the open recipients
  std::string reason;                     // why it waits, shortened
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("id", s.id);
    v("where", s.where);
    v("size", s.size);
    v("arrival", s.arrival);
    v.optional("next_try", s.next_try);
    v("sender", s.sender);
    v("open", s.open_recipients);
    v("recipients", s.recipients);
    v.optional("destinations", s.destinations);
    v.optional("reason", s.reason);
  }
};

struct QueuePage {
  static constexpr std::uint16_t kType = 65;
  std::vector<QueueItem> items;
  bool more = false;
  std::string next;   // for ListQueue::after
  bool stale = false; // the index is being checked after a crash: entries may be missing
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("items", s.items);
    v("more", s.more);
    v.optional("next", s.next);
    v.optional("stale", s.stale);
  }
};

enum class CountBy : std::uint8_t { where, destination, reason };
constexpr CountBy highest(CountBy) { return CountBy::reason; }

struct CountQueue {
  static constexpr std::uint16_t kType = 66;
  CountBy by = CountBy::where;
  std::uint32_t limit = 100;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("by", s.by);
    v("limit", s.limit);
  }
};

struct CountLine {
  std::string name;
  std::uint64_t active = 0;  // in memory
  std::uint64_t waiting = 0; // on disk: deferred and held
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("name", s.name);
    v.optional("active", s.active);
    v.optional("waiting", s.waiting);
  }
};

struct QueueCounts {
  static constexpr std::uint16_t kType = 67;
  std::vector<CountLine> lines; // most first
  bool stale = false;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("lines", s.lines);
    v.optional("stale", s.stale);
  }
};

struct Why {
  static constexpr std::uint16_t kType = 68;
  std::string id;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("id", s.id);
  }
};

// queue::Status in the words of the view.
enum class Fate : std::uint8_t { open, delivered, bounced, dropped };
constexpr Fate highest(Fate) { return Fate::dropped; }

struct WhyRecipient {
  std::string address;
  Fate fate = Fate::open;
  std::uint32_t attempts = 0;
  bool in_doubt = false;  // an earlier attempt may have delivered it
  bool in_flight = false; // an agent has it now
  mail::Gate gate = mail::Gate::none;
  std::string gate_text; // one sentence: what holds it back
  std::int64_t next_try = 0;
  mail::Outcome last;    // dsn empty: no attempt yet
  std::string transport; // as routed now; empty when that could not be said
  std::string nexthop;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("address", s.address);
    v("fate", s.fate);
    v.optional("attempts", s.attempts);
    v.optional("in_doubt", s.in_doubt);
    v.optional("in_flight", s.in_flight);
    v.optional("gate", s.gate);
    v.optional("gate_text", s.gate_text);
    v.optional("next_try", s.next_try);
    v("last", s.last);
    v.optional("transport", s.transport);
    v.optional("nexthop", s.nexthop);
  }
};

struct WhyAnswer {
  static constexpr std::uint16_t kType = 69;
  std::string id;
  Where where = Where::active;
  std::string hold_reason;
  std::uint32_t strikes = 0; // agents that died while they had it
  std::string sender;
  std::int64_t arrival = 0;
  std::int64_t expires = 0; // when it will be returned
  std::uint64_t size = 0;
  std::string message_id;
  std::string client; // "name[address]"; empty: local
  std::vector<WhyRecipient> recipients;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("id", s.id);
    v("where", s.where);
    v.optional("hold_reason", s.hold_reason);
    v.optional("strikes", s.strikes);
    v("sender", s.sender);
    v("arrival", s.arrival);
    v.optional("expires", s.expires);
    v("size", s.size);
    v.optional("message_id", s.message_id);
    v.optional("client", s.client);
    v("recipients", s.recipients);
  }
};

struct Cat {
  static constexpr std::uint16_t kType = 70;
  std::string id;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("id", s.id);
  }
};

// The content is [content_offset, +size) of the descriptor, lines end in CRLF. root and the owner
// of the queue only: a segment holds other messages too.
struct CatAnswer {
  static constexpr std::uint16_t kType = 71;
  static constexpr std::size_t kDescriptors = 1;
  std::string id;
  std::uint64_t content_offset = 0;
  std::uint64_t size = 0;
  std::uint32_t header_size = 0;
  Where where = Where::active;
  mail::Envelope envelope;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("id", s.id);
    v("content_offset", s.content_offset);
    v("size", s.size);
    v.optional("header_size", s.header_size);
    v("where", s.where);
    v("envelope", s.envelope);
  }
};

enum class Action : std::uint8_t {
  flush, // try deferred mail and dead destinations now
  retry, // the same for the selected messages
  hold,
  release,
  requeue, // start over: no attempts, not held, routed anew
  remove,  // `postrider delete`: without a report
};
constexpr Action highest(Action) { return Action::remove; }

struct Act {
  static constexpr std::uint16_t kType = 72;
  Action action = Action::flush;
  Selector select; // flush: may be empty (all), or name a destination
  bool dry_run = false;
  std::string reason; // of a hold
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("action", s.action);
    v("select", s.select);
    v.optional("dry_run", s.dry_run);
    v.optional("reason", s.reason);
  }
};

struct Acted {
  static constexpr std::uint16_t kType = 73;
  std::uint64_t matched = 0;
  std::uint64_t changed = 0;         // with dry_run: would be
  std::uint64_t not_found = 0;       // ids that are not in the queue
  std::uint64_t in_delivery = 0;     // some recipients are with an agent: takes effect after that
  std::vector<std::string> examples; // ids, the first few that matched
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("matched", s.matched);
    v("changed", s.changed);
    v.optional("not_found", s.not_found);
    v.optional("in_delivery", s.in_delivery);
    v.optional("examples", s.examples);
  }
};

struct AskStatus {
  static constexpr std::uint16_t kType = 74;
  std::uint32_t destinations = 20;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("destinations", s.destinations);
  }
};

struct DestinationStatus {
  std::string transport;
  std::string nexthop;
  std::uint64_t messages = 0; // requests that wait here
  std::uint32_t in_flight = 0;
  std::uint32_t window = 0; // how many may be in flight now
  bool dead = false;
  std::int64_t probe_at = 0; // when a dead one is tried again
  std::string reason;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("transport", s.transport);
    v("nexthop", s.nexthop);
    v.optional("messages", s.messages);
    v.optional("in_flight", s.in_flight);
    v.optional("window", s.window);
    v.optional("dead", s.dead);
    v.optional("probe_at", s.probe_at);
    v.optional("reason", s.reason);
  }
};

struct AgentStatus {
  std::string transport;
  std::uint32_t pid = 0;
  std::uint32_t capacity = 0;
  std::uint32_t in_flight = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("transport", s.transport);
    v.optional("pid", s.pid);
    v.optional("capacity", s.capacity);
    v.optional("in_flight", s.in_flight);
  }
};

struct StatusAnswer {
  static constexpr std::uint16_t kType = 75;
  bool accepting = true;
  std::string refuse_reason;  // when new mail is answered 452
  std::uint64_t incoming = 0; // in memory, not yet routed
  std::uint64_t active = 0;   // in memory, all
  std::uint64_t deferred = 0;
  std::uint64_t held = 0;
  std::uint64_t in_flight = 0; // deliveries that agents have
  std::uint64_t accepted = 0;  // messages since the start
  std::uint64_t delivered = 0; // recipients since the start
  std::uint64_t bounced = 0;
  std::uint64_t deferrals = 0;
  std::uint32_t segments = 0;
  std::uint32_t live_segments = 0; // with mail, or in the hands of a writer
  std::uint32_t lent_segments = 0; // of these, in the hands of a writer
  std::uint64_t ledger_bytes = 0;
  std::uint64_t ledger_lag = 0; // marks that are not durable yet, in bytes
  bool index_stale = false;
  std::uint64_t free_bytes = 0;
  std::vector<DestinationStatus> destinations; // most mail first
  std::vector<AgentStatus> agents;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("accepting", s.accepting);
    v.optional("refuse_reason", s.refuse_reason);
    v.optional("incoming", s.incoming);
    v.optional("active", s.active);
    v.optional("deferred", s.deferred);
    v.optional("held", s.held);
    v.optional("in_flight", s.in_flight);
    v.optional("accepted", s.accepted);
    v.optional("delivered", s.delivered);
    v.optional("bounced", s.bounced);
    v.optional("deferrals", s.deferrals);
    v.optional("segments", s.segments);
    v.optional("live_segments", s.live_segments);
    v.optional("lent_segments", s.lent_segments);
    v.optional("ledger_bytes", s.ledger_bytes);
    v.optional("ledger_lag", s.ledger_lag);
    v.optional("index_stale", s.index_stale);
    v.optional("free_bytes", s.free_bytes);
    v("destinations", s.destinations);
    v("agents", s.agents);
  }
};

enum class Refusal : std::uint8_t { not_allowed, not_found, no_sense, not_now };
constexpr Refusal highest(Refusal) { return Refusal::not_now; }

struct Refused {
  static constexpr std::uint16_t kType = 76;
  Refusal why = Refusal::no_sense;
  std::string text;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("why", s.why);
    v("text", s.text);
  }
};

enum class TriggerKind : std::uint8_t { wake, flush }; // wake: look for due mail
constexpr TriggerKind highest(TriggerKind) { return TriggerKind::flush; }

struct Trigger {
  static constexpr std::uint16_t kType = 77;
  TriggerKind kind = TriggerKind::wake;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("kind", s.kind);
  }
};

// No answer. Programs of the suite may have the uid of the queue's owner, but the sandbox of a
// worker does not let it open a file of the queue.
struct OwnerProof { // one descriptor: <queue_directory>/qmgr.lock, opened
  static constexpr std::uint16_t kType = 78;
  static constexpr std::size_t kDescriptors = 1;
  template <typename V, typename S>
  static void fields(V&, S&) {}
};

} // namespace postrider::proto

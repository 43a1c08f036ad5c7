// SPDX-License-Identifier: MIT
#include "view.hpp"

#include "base/ascii.hpp"
#include "text.hpp"

namespace postrider::ctl {

using proto::Action;
using proto::Fate;

namespace {

struct Words {
  std::string_view verb, past;
};
Words words_of(Action action) {
  switch (action) {
  case Action::flush: return {"flush", "flushed"};
  case Action::retry: return {"retry", "will retry"};
  case Action::hold: return {"hold", "held"};
  case Action::release: return {"release", "released"};
  case Action::requeue: return {"requeue", "requeued"};
  case Action::remove: return {"delete", "deleted"};
  }
  return {"", ""};
}

std::string_view fate_word(const proto::WhyRecipient& r) {
  switch (r.fate) {
  case Fate::delivered: return "delivered";
  case Fate::bounced: return "returned to sender";
  case Fate::dropped: return "deleted by the operator";
  case Fate::open: return r.in_flight ? "in delivery now" : "waits";
  }
  return "";
}

std::string remote_of(const mail::Outcome& o) {
  if (o.host.empty() || o.host == "none") return "";
  std::string out = shown(o.host);
  if (!o.address.empty()) out += "[" + shown(o.address) + "]";
  if (o.port != 0) out += ":" + std::to_string(o.port);
  return out;
}

} // namespace

std::string_view verb_of(Action action) { return words_of(action).verb; }

std::string view(const proto::QueueItem& item, std::int64_t now) {
  std::string out = item.id;
  const auto pad = [&](std::string_view cell, std::size_t width) {
    out.append("  ").append(cell);
    if (cell.size() < width) out.append(width - cell.size(), ' ');
  };
  pad(proto::to_string(item.where), 8);
  pad(show_size(item.size), 5);
  pad(show_age(item.arrival, now), 4);
  pad(item.where == proto::Where::deferred ? show_until(item.next_try, now) : "", 7);
  pad(show_sender(item.sender), 0);
  out.append("\n");
  std::size_t shown_recipients = 0;
  for (const proto::QueueRecipient& r : item.recipients) {
    out += "    -> " + shown(r.address) + "\n";
    ++shown_recipients;
    if (!r.reason.empty() && r.reason != item.reason)
      out += "       " + shown(r.reason, 200) + "\n";
  }
  if (item.open_recipients > shown_recipients)
    out +=
        "    -> and " + counted(item.open_recipients - shown_recipients, "recipient") + " more\n";
  if (!item.reason.empty()) out += "       " + shown(item.reason, 200) + "\n";
  return out;
}

std::string view(const proto::QueueCounts& counts, std::string_view what) {
  Table table({"ACTIVE", "WAITING", std::string(what)});
  table.align_right(0);
  table.align_right(1);
  for (const proto::CountLine& line : counts.lines)
    table.add({std::to_string(line.active), std::to_string(line.waiting), shown(line.name, 160)});
  return table.text();
}

std::string view(const proto::WhyAnswer& a, std::int64_t now) {
  std::string out = a.id + "  " + std::string(proto::to_string(a.where)) + ", " +
                    std::to_string(a.size) + " bytes, arrived " + show_time(a.arrival) + " (" +
                    show_age(a.arrival, now) + " ago)\n";
  out += "  from " + show_sender(a.sender);
  if (!a.client.empty()) out += " by " + shown(a.client);
  if (!a.message_id.empty()) out += ", message-id " + shown(a.message_id);
  out += "\n";
  if (a.expires > 0)
    out += "  given up at " + show_time(a.expires) + " (" + show_until(a.expires, now) + ")\n";
  if (a.where == proto::Where::held)
    out += "  held" + (a.hold_reason.empty() ? "" : ": " + shown(a.hold_reason)) +
           "; `postrider release " + a.id + "` lets it go\n";
  if (a.strikes > 0)
    out += "  " + std::to_string(a.strikes) +
           (a.strikes == 1 ? " delivery process" : " delivery processes") +
           " died while delivering this message\n";
  for (const proto::WhyRecipient& r : a.recipients) {
    out += "\n  to " + shown(r.address) + ": " + std::string(fate_word(r));
    if (r.attempts > 0) out += " after " + counted(r.attempts, "attempt");
    out += "\n";
    if (r.fate == Fate::open) {
      if (!r.gate_text.empty())
        out += "    because: " + shown(r.gate_text) + "\n";
      else if (r.gate != mail::Gate::none)
        out += "    because: " + std::string(mail::to_string(r.gate)) + "\n";
      if (r.next_try > 0)
        out +=
            "    next try: " + show_until(r.next_try, now) + " (" + show_time(r.next_try) + ")\n";
      if (!r.transport.empty())
        out += "    route: " + shown(r.transport) + ":" + shown(r.nexthop) + "\n";
      if (r.in_doubt) out += "    in doubt: an earlier attempt may have delivered it\n";
    }
    if (!r.last.dsn.empty()) {
      out += "    last: " + shown(r.last.dsn) + " " +
             shown(r.last.text.empty() ? r.last.reply : r.last.text) + "\n";
      const std::string remote = remote_of(r.last);
      std::string tail;
      if (!remote.empty()) tail += "at " + remote;
      if (!r.last.tls.empty()) tail += (tail.empty() ? "" : ", ") + shown(r.last.tls);
      if (r.last.at > 0) tail += (tail.empty() ? "" : ", ") + show_time(r.last.at);
      if (!tail.empty()) out += "          " + tail + "\n";
    }
  }
  return out;
}

std::string view(const proto::Acted& acted, Action action, bool dry_run) {
  const Words words = words_of(action);
  std::string out = dry_run ? "would " + std::string(words.verb) : std::string(words.past);
  out += " " + counted(acted.changed, "message");
  if (acted.matched != acted.changed) out += " of " + std::to_string(acted.matched) + " selected";
  out += "\n";
  if (acted.not_found > 0)
    out += counted(acted.not_found, "queue id") + (acted.not_found == 1 ? " is" : " are") +
           " not in the queue\n";
  if (acted.in_delivery > 0)
    out += counted(acted.in_delivery, "message") + (acted.in_delivery == 1 ? " is" : " are") +
           " in delivery now: what is decided there still counts\n";
  if (dry_run && !acted.examples.empty()) {
    out += "for example";
    for (const std::string& id : acted.examples)
      out += " " + shown(id);
    out += "\n";
  }
  return out;
}

std::string view(const proto::MasterStatus& m, std::int64_t now) {
  std::string out = "Postrider " + shown(m.version) + (m.stopping ? ", stopping" : ", running") +
                    " for " + show_duration(static_cast<std::int64_t>(m.uptime_seconds)) +
                    ", master is process " + std::to_string(m.pid) + ", configuration " +
                    std::to_string(m.generation) + "\n\n";
  if (!m.sharing.empty()) out += "Warning: " + shown(m.sharing, 1000) + "\n\n";
  Table table({"SERVICE", "STATE", "PROCESSES", "CLIENTS", "DEATHS", "LISTENS ON"});
  for (const std::size_t column : {2U, 3U, 4U})
    table.align_right(column);
  std::string notes;
  for (const proto::MasterService& s : m.services) {
    std::uint64_t clients = 0;
    for (const proto::MasterChild& c : s.children)
      clients += c.clients;
    std::string listen;
    for (const std::string& at : s.listen)
      listen += (listen.empty() ? "" : " ") + shown(at);
    std::string processes = std::to_string(s.children.size());
    if (s.limit != 0) processes += "/" + std::to_string(s.limit);
    table.add({shown(s.name, 40), shown(s.state), processes, std::to_string(clients),
               std::to_string(s.deaths), listen});
    if (!s.last_death.empty()) {
      notes += shown(s.name, 40) + ": last death " + show_age(s.last_death_micros, now) + " ago, " +
               shown(s.last_death);
      if (s.backoff_millis > 0)
        notes += "; next start in " +
                 show_duration(static_cast<std::int64_t>((s.backoff_millis + 999) / 1000));
      notes += "\n";
    }
  }
  out += table.text();
  if (!notes.empty()) out += "\n" + notes;
  return out;
}

std::string view(const proto::StatusAnswer& q, std::int64_t now) {
  std::string out = "Queue: " + std::to_string(q.active) + " active, " +
                    std::to_string(q.deferred) + " deferred, " + std::to_string(q.held) +
                    " on hold, " + counted(q.in_flight, "message") + " in delivery\n";
  out += "Since the start: " + counted(q.accepted, "message") +
         " accepted; recipients: " + std::to_string(q.delivered) + " delivered, " +
         std::to_string(q.bounced) + " returned, " + std::to_string(q.deferrals) +
         " attempts put off\n";
  out += "Journal: " + std::to_string(q.live_segments) + " of " + counted(q.segments, "segment") +
         " in use, " + std::to_string(q.lent_segments) + " of them lent to writers; ledger " +
         show_size(q.ledger_bytes) + "; free space " + show_size(q.free_bytes) + "\n";
  if (!q.accepting) out += "NEW MAIL IS REFUSED: " + shown(q.refuse_reason) + "\n";
  if (q.index_stale) out += "The index is being checked: numbers of deferred mail may grow.\n";
  if (!q.destinations.empty()) {
    out += "\n";
    Table table({"WAITING", "IN FLIGHT", "WINDOW", "DESTINATION", "STATE"});
    for (const std::size_t column : {0U, 1U, 2U})
      table.align_right(column);
    for (const proto::DestinationStatus& d : q.destinations) {
      std::string state = d.dead ? "dead, probe " + show_until(d.probe_at, now) : "";
      if (!d.reason.empty()) state += (state.empty() ? "" : ": ") + shown(d.reason, 100);
      table.add({std::to_string(d.messages), std::to_string(d.in_flight), std::to_string(d.window),
                 shown(d.transport + ":" + d.nexthop, 60), state});
    }
    out += table.text();
  }
  return out;
}

std::string view_sessions(const proto::MasterStatus& m, const proto::StatusAnswer* queue) {
  Table table({"PID", "SERVICE", "STATE", "CLIENTS", "IN DELIVERY", "UP", "JAIL"});
  for (const std::size_t column : {0U, 3U, 4U})
    table.align_right(column);
  for (const proto::MasterService& s : m.services) {
    for (const proto::MasterChild& c : s.children) {
      std::string delivering = "-";
      if (queue != nullptr)
        for (const proto::AgentStatus& a : queue->agents)
          if (a.pid == c.pid)
            delivering = std::to_string(a.in_flight) + "/" + std::to_string(a.capacity);
      table.add({std::to_string(c.pid), shown(s.name, 40), shown(c.state),
                 std::to_string(c.clients), delivering,
                 show_duration(static_cast<std::int64_t>(c.uptime_seconds)), shown(c.jail, 200)});
    }
  }
  return table.text() + (m.sharing.empty() ? "" : "\nWarning: " + shown(m.sharing, 1000) + "\n");
}

std::string view_envelope(const proto::CatAnswer& a) {
  std::string out = "*** " + a.id + ", " + std::string(proto::to_string(a.where)) + "\n";
  out += "arrived: " + show_time(a.envelope.arrival) + "\n";
  out += "sender: " + show_sender(a.envelope.sender) + "\n";
  for (const mail::Recipient& r : a.envelope.recipients) {
    out += "recipient: " + shown(r.address);
    if (!r.orcpt.empty()) out += " (original " + shown(r.orcpt) + ")";
    out += "\n";
  }
  if (!a.envelope.client_address.empty())
    out += "client: " + shown(a.envelope.client_name) + "[" + shown(a.envelope.client_address) +
           "] helo " + shown(a.envelope.helo) + " by " + shown(a.envelope.protocol) + "\n";
  if (a.envelope.local_submission)
    out += "client: local user " + std::to_string(a.envelope.submitter_uid) + "\n";
  if (!a.envelope.sasl_username.empty())
    out += "authenticated: " + shown(a.envelope.sasl_username) + "\n";
  if (!a.envelope.envid.empty()) out += "envelope id: " + shown(a.envelope.envid) + "\n";
  out += "size: " + std::to_string(a.size) + "\n*** content\n";
  return out;
}

} // namespace postrider::ctl

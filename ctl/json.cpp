// SPDX-License-Identifier: MIT
#include "json.hpp"

#include <nlohmann/json.hpp>

namespace postrider::ctl::json {

namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json time_of(std::int64_t micros) {
  if (micros == 0) return nullptr;
  return micros / 1000000;
}

Json outcome(const mail::Outcome& o) {
  if (o.dsn.empty()) return nullptr;
  Json out;
  switch (o.verdict) {
  case mail::Verdict::delivered: out["verdict"] = "delivered"; break;
  case mail::Verdict::deferred: out["verdict"] = "deferred"; break;
  case mail::Verdict::bounced: out["verdict"] = "bounced"; break;
  case mail::Verdict::in_doubt: out["verdict"] = "in_doubt"; break;
  }
  out["dsn"] = o.dsn;
  out["text"] = o.text;
  out["reply"] = o.reply;
  out["host"] = o.host;
  out["address"] = o.address;
  out["port"] = o.port;
  out["tls"] = o.tls;
  out["tls_status"] = o.tls_status;
  out["at"] = time_of(o.at);
  return out;
}

std::string_view word(proto::Fate fate) {
  switch (fate) {
  case proto::Fate::open: return "open";
  case proto::Fate::delivered: return "delivered";
  case proto::Fate::bounced: return "bounced";
  case proto::Fate::dropped: return "dropped";
  }
  return "";
}

Json why(const proto::WhyAnswer& answer) {
  Json out;
  out["queue_id"] = answer.id;
  out["queue_name"] = proto::to_string(answer.where);
  out["hold_reason"] = answer.hold_reason;
  out["strikes"] = answer.strikes;
  out["sender"] = answer.sender;
  out["arrival_time"] = time_of(answer.arrival);
  out["expires"] = time_of(answer.expires);
  out["message_size"] = answer.size;
  out["message_id"] = answer.message_id;
  out["client"] = answer.client;
  out["recipients"] = Json::array();
  for (const proto::WhyRecipient& r : answer.recipients) {
    Json one;
    one["address"] = r.address;
    one["status"] = word(r.fate);
    one["attempts"] = r.attempts;
    one["in_doubt"] = r.in_doubt;
    one["in_flight"] = r.in_flight;
    one["gate"] = mail::to_string(r.gate);
    one["gate_text"] = r.gate_text;
    one["next_try"] = time_of(r.next_try);
    one["transport"] = r.transport;
    one["nexthop"] = r.nexthop;
    one["last"] = outcome(r.last);
    out["recipients"].push_back(std::move(one));
  }
  return out;
}

} // namespace

std::string of_error(std::string_view text) {
  Json out;
  out["error"] = text;
  return text_of(out);
}

namespace {

Json object(const Members& members) {
  Json out = Json::object();
  for (const auto& [name, value] : members)
    out[name] = value;
  return out;
}

} // namespace

namespace {

Json failures_of(const proto::TlsFailures& line) {
  Json out;
  out["result"] = to_string(line.result);
  out["mx_host"] = line.mx_host;
  out["mx_address"] = line.mx_address;
  out["sending_address"] = line.sending_address;
  out["reason"] = line.reason;
  out["count"] = line.count;
  return out;
}

Json policy_of(const proto::TlsPolicyCount& count) {
  Json out;
  out["policy"] = to_string(count.policy.kind);
  out["policy_domain"] = count.policy.domain;
  out["policy_strings"] = count.policy.strings;
  out["mx"] = count.policy.mx;
  out["successes"] = count.successes;
  out["failures"] = count.failures;
  out["lines"] = Json::array();
  for (const proto::TlsFailures& line : count.lines)
    out["lines"].push_back(failures_of(line));
  out["without_line"] = count.without_line;
  return out;
}

} // namespace

std::string of(const std::vector<proto::TlsAccount>& accounts) {
  Json out = Json::array();
  for (const proto::TlsAccount& account : accounts) {
    Json one;
    one["domain"] = account.domain;
    one["begin"] = account.begin;
    one["end"] = account.end;
    one["state"] = to_string(account.state);
    one["report_id"] = account.report_id;
    one["next_try"] = account.due / 1000000;
    one["tries"] = account.tries;
    one["to_send"] = account.left;
    one["sent"] = account.done;
    one["note"] = account.note;
    one["not_counted"] = account.lost;
    one["policies"] = Json::array();
    for (const proto::TlsPolicyCount& count : account.policies)
      one["policies"].push_back(policy_of(count));
    out.push_back(std::move(one));
  }
  return text_of(out);
}

std::string of_object(const Members& members) { return text_of(object(members)); }

std::string of_objects(const std::vector<Members>& objects) {
  Json out = Json::array();
  for (const Members& one : objects)
    out.push_back(object(one));
  return text_of(out);
}

std::string of(const proto::QueueItem& item) {
  Json out;
  out["queue_name"] = proto::to_string(item.where);
  out["queue_id"] = item.id;
  out["arrival_time"] = time_of(item.arrival);
  out["message_size"] = item.size;
  out["sender"] = item.sender;
  out["next_try"] = time_of(item.next_try);
  out["open_recipients"] = item.open_recipients;
  out["recipients"] = Json::array();
  for (const proto::QueueRecipient& r : item.recipients) {
    Json one;
    one["address"] = r.address;
    if (!r.reason.empty()) one["delay_reason"] = r.reason;
    out["recipients"].push_back(std::move(one));
  }
  out["destinations"] = item.destinations;
  out["reason"] = item.reason;
  return text_of(out);
}

std::string of(const proto::QueueCounts& counts) {
  Json out;
  out["stale"] = counts.stale;
  out["counts"] = Json::array();
  for (const proto::CountLine& line : counts.lines)
    out["counts"].push_back(
        Json{{"name", line.name}, {"active", line.active}, {"waiting", line.waiting}});
  return text_of(out);
}

std::string of(const proto::WhyAnswer& answer) { return text_of(why(answer)); }

std::string of(const std::vector<proto::WhyAnswer>& answers) {
  Json out = Json::array();
  for (const proto::WhyAnswer& answer : answers)
    out.push_back(why(answer));
  return text_of(out);
}

std::string of(const proto::CatAnswer& answer, std::string_view content) {
  Json out;
  out["queue_id"] = answer.id;
  out["queue_name"] = proto::to_string(answer.where);
  out["arrival_time"] = time_of(answer.envelope.arrival);
  out["sender"] = answer.envelope.sender;
  out["recipients"] = Json::array();
  for (const mail::Recipient& r : answer.envelope.recipients)
    out["recipients"].push_back(r.address);
  out["client_name"] = answer.envelope.client_name;
  out["client_address"] = answer.envelope.client_address;
  out["protocol"] = answer.envelope.protocol;
  out["message_size"] = answer.size;
  out["content"] = content;
  return text_of(out);
}

std::string of(const proto::Acted& acted, std::string_view action, bool dry_run) {
  Json out;
  out["action"] = action;
  out["dry_run"] = dry_run;
  out["matched"] = acted.matched;
  out["changed"] = acted.changed;
  out["not_found"] = acted.not_found;
  out["in_delivery"] = acted.in_delivery;
  out["examples"] = acted.examples;
  return text_of(out);
}

std::string of(const proto::MasterStatus* master, const proto::StatusAnswer* queue) {
  Json out;
  out["running"] = master != nullptr;
  if (master != nullptr) {
    Json m;
    m["pid"] = master->pid;
    m["version"] = master->version;
    m["generation"] = master->generation;
    m["uptime"] = master->uptime_seconds;
    m["stopping"] = master->stopping;
    m["sharing"] = master->sharing;
    m["services"] = Json::array();
    for (const proto::MasterService& s : master->services) {
      Json one;
      one["name"] = s.name;
      one["type"] = s.type;
      one["command"] = s.command;
      one["state"] = s.state;
      one["limit"] = s.limit;
      one["listen"] = s.listen;
      one["deaths"] = s.deaths;
      one["last_death"] = s.last_death;
      one["last_death_at"] = time_of(s.last_death_micros);
      one["backoff_ms"] = s.backoff_millis;
      one["processes"] = Json::array();
      for (const proto::MasterChild& c : s.children)
        one["processes"].push_back(Json{{"pid", c.pid},
                                        {"state", c.state},
                                        {"generation", c.generation},
                                        {"uptime", c.uptime_seconds},
                                        {"clients", c.clients},
                                        {"jail", c.jail}});
      m["services"].push_back(std::move(one));
    }
    out["master"] = std::move(m);
  }
  if (queue != nullptr) {
    Json q;
    q["accepting"] = queue->accepting;
    q["refuse_reason"] = queue->refuse_reason;
    q["incoming"] = queue->incoming;
    q["active"] = queue->active;
    q["deferred"] = queue->deferred;
    q["hold"] = queue->held;
    q["in_flight"] = queue->in_flight;
    q["accepted"] = queue->accepted;
    q["delivered"] = queue->delivered;
    q["bounced"] = queue->bounced;
    q["deferrals"] = queue->deferrals;
    q["segments"] = queue->segments;
    q["live_segments"] = queue->live_segments;
    q["lent_segments"] = queue->lent_segments;
    q["ledger_bytes"] = queue->ledger_bytes;
    q["ledger_lag"] = queue->ledger_lag;
    q["index_stale"] = queue->index_stale;
    q["free_bytes"] = queue->free_bytes;
    q["destinations"] = Json::array();
    for (const proto::DestinationStatus& d : queue->destinations)
      q["destinations"].push_back(Json{{"transport", d.transport},
                                       {"nexthop", d.nexthop},
                                       {"messages", d.messages},
                                       {"in_flight", d.in_flight},
                                       {"window", d.window},
                                       {"dead", d.dead},
                                       {"probe_at", time_of(d.probe_at)},
                                       {"reason", d.reason}});
    q["agents"] = Json::array();
    for (const proto::AgentStatus& a : queue->agents)
      q["agents"].push_back(Json{{"transport", a.transport},
                                 {"pid", a.pid},
                                 {"capacity", a.capacity},
                                 {"in_flight", a.in_flight}});
    out["queue"] = std::move(q);
  }
  return text_of(out);
}

std::string of(const std::vector<Parameter>& parameters) {
  Json out = Json::object();
  for (const Parameter& p : parameters) {
    Json one;
    one["value"] = p.value;
    one["origin"] = p.origin;
    if (p.line != 0) one["line"] = p.line;
    if (!p.type.empty()) {
      one["default"] = p.initial;
      one["type"] = p.type;
    }
    out[p.name] = std::move(one);
  }
  return text_of(out);
}

std::string of_findings(const std::vector<std::string>& errors,
                        const std::vector<std::string>& warnings) {
  Json out;
  out["ok"] = errors.empty();
  out["errors"] = errors;
  out["warnings"] = warnings;
  return text_of(out);
}

} // namespace postrider::ctl::json

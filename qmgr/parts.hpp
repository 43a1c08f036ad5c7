// SPDX-License-Identifier: MIT
// What the parts of qmgr share: the loop, the queue, the parameters, and each other. Made and owned
// by Core (qmgr.hpp); all run on its one thread.
#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <string>

#include "base/fs.hpp"
#include "base/random.hpp"
#include "concurrency.hpp"
#include "ev/group.hpp"
#include "ev/offload.hpp"
#include "mail/log_line.hpp"
#include "queue/queue.hpp"
#include "retry.hpp"
#include "schedule.hpp"

namespace postrider::qmgr {

class Dispatch;
class Finish;
class Intake;
class Store;

struct TransportLimits {
  WindowLimits window;
  TurnLimits turns;
  std::uint32_t recipients = 50; // destination_recipient_limit; 0: none
  Duration destination_delay{};  // destination_rate_delay
  Duration transport_delay{};    // transport_rate_delay
};

struct Route {
  std::string transport;
  std::string nexthop;
  std::string recipient; // as the agent shall see it
};

// The seams of the surroundings: tests put their own in.
struct Surroundings {
  // Where a recipient of the message goes. Error: cannot be said now.
  std::function<Result<Route>(const std::string& recipient, const mail::Envelope& envelope)> route;
  bool routes_wait = false; // whether `route` is a question for maps::ask()
  // A connected, non-blocking socket to a process of the service. Error not_found or refused: there
  // is no such service.
  std::function<Result<Fd>(const std::string& service)> connect;
  std::function<TransportLimits(const std::string& transport)> limits;
  // Master is told that a process broke the rules of a conversation; may be empty.
  std::function<void(pid_t)> misbehaves = {};
};

struct Params {
  RetryLimits retry;
  std::size_t active_limit = 20000; // qmgr_message_active_limit
  // qmgr_message_recipient_limit: of active messages; as many idle destinations are remembered.
  std::size_t recipient_limit = 20000;
  std::string recipient_delimiter;
  Duration residence = std::chrono::seconds(30);       // journal_residence_time
  Duration transport_retry = std::chrono::seconds(60); // transport_retry_time
  Duration ipc_limit = std::chrono::seconds(60);       // qmgr_ipc_timeout
  Duration agent_limit = std::chrono::hours(5); // daemon_timeout and ipc_limit: for one delivery
  std::uint64_t min_free = 0;                   // queue_minfree
  std::set<std::string, std::less<>> defer_transports;
  bool soft_bounce = false;
  bool confirm_delay_cleared = false;
  mail::LogStyle log;
  std::string double_bounce_sender;    // whole address
  std::string double_bounce_recipient; // 2bounce_notice_recipient, when notify_classes has 2bounce
  std::string report_service = "bounce";
  std::size_t agents = 2;                           // processes of one transport at most
  std::uint32_t owner = 0;                          // uid that owns the queue
  std::function<bool(std::uint32_t uid)> may_list;  // authorized_mailq_users
  std::function<bool(std::uint32_t uid)> may_flush; // authorized_flush_users
};

struct Counters {
  std::uint64_t accepted = 0, delivered = 0, bounced = 0, deferrals = 0, removed = 0;
  std::uint64_t misbehaved = 0; // processes sent away for what they sent
};

// What is no accident: the peer has sent what it must not send, or takes nothing.
inline bool is_breach(const Error& error) {
  return error.kind() == ErrorKind::protocol || error.kind() == ErrorKind::limit;
}

struct Parts {
  ev::Loop& loop;
  ev::Offload& offload;
  FileSystem& fs;
  queue::Queue& queue;
  Params& params;
  Surroundings& around;
  ev::Group& tasks;
  Counters counters = {};
  Timekeeper keeper = {};
  Jitter jitter = Jitter();
  bool stopping = false;
  Dispatch* dispatch = nullptr;
  Finish* finish = nullptr;
  Intake* intake = nullptr;
  Store* store = nullptr;

  void misbehaves(pid_t pid) {
    ++counters.misbehaved;
    if (around.misbehaves) around.misbehaves(pid);
  }
  std::int64_t wall() { return to_unix_micros(loop.clock().wall()); }
  std::int64_t now() { return keeper.now(wall(), loop.now()); } // of the schedule
  // How long mail of that arrival has been here, as far as that counts.
  std::int64_t age(std::int64_t arrival) {
    return std::max<std::int64_t>(0, age_of(arrival, now(), wall()) - keeper.not_counted(arrival));
  }
  std::uint32_t dice() { return static_cast<std::uint32_t>(jitter.below(1024)); }
};

} // namespace postrider::qmgr

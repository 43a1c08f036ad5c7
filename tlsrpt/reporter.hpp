// SPDX-License-Identifier: MIT
// Reporter: sends what was counted of each domain, once its day is over (RFC 8460 sections 4.1 and
// 5.5). Owned by the Service.
//
//   R1  an account that has ended gets a report id and a time, spread over tlsrpt_report_delay;
//       both are stored, so that a restart changes neither
//   R2  each address gets the report once, as far as can be known: what was sent is stored before
//       the next address is tried
//   R3  an address that fails is tried again, ever more seldom, for a day; then it is given up, and
//       the log says so
#pragma once

#include <map>
#include <set>
#include <string>

#include "accounts.hpp"
#include "base/random.hpp"
#include "ev/condition.hpp"
#include "ev/group.hpp"
#include "outlet.hpp"

namespace postrider::tlsrpt {

struct ReporterSetup {
  Letterhead letterhead;
  bool report_successes = true;                     // days on which nothing failed, too
  std::chrono::milliseconds delay{4 * 3600 * 1000}; // tlsrpt_report_delay
};

class Reporter {
 public:
  static constexpr std::size_t kMostAtATime = 8;
  static constexpr Duration kTimeLimit = std::chrono::seconds(60); // for one question or report
  static constexpr Duration kFirstPause = std::chrono::minutes(5);
  static constexpr Duration kLongestPause = std::chrono::hours(4);
  static constexpr std::chrono::hours kGiveUp{24};

  // All must outlive it.
  Reporter(ev::Loop& loop, Accounts& accounts, Outlet& outlet, ReporterSetup setup);
  ~Reporter();

  // WAITS. Ends what is counted of the domain today, and tries all of its reports that wait. The
  // accounts, as they are then.
  ev::Task<std::vector<proto::TlsAccount>> send_now(const std::string& domain);
  void close(); // nothing is sent any more

 private:
  void begin_day();
  void plan(const std::string& key, proto::TlsAccount account, WallTime due);
  void pump();
  ev::RootTask run(std::string key);
  ev::Task<void> try_report(const std::string& key);
  // What became of one try; empty: all is done.
  ev::Task<std::string> deliver(const std::string& key, proto::TlsAccount& account);
  ev::Task<Result<std::string>> deliver_to(const std::string& address,
                                           ev::Lent<const proto::TlsAccount> account,
                                           const std::string& packed);
  void finish(const std::string& key, proto::TlsAccount& account, proto::TlsReportState state,
              std::string note);
  void keep(const std::string& key, const proto::TlsAccount& account);
  WallTime now() { return loop_.clock().wall(); }

  ev::Loop& loop_;
  Accounts& accounts_;
  Outlet& outlet_;
  ReporterSetup setup_;
  std::multimap<WallTime, std::string> due_; // keys of waiting accounts
  std::set<std::string> under_way_;
  ev::Condition changed_; // under_way_ has become smaller
  std::int64_t day_ = 0;  // the one that begin_day() has seen
  Jitter jitter_;
  ev::Timer timer_;
  ev::Group group_;
};

} // namespace postrider::tlsrpt

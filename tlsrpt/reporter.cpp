// SPDX-License-Identifier: MIT
#include "reporter.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "counts.hpp"
#include "gzip.hpp"
#include "record.hpp"

namespace postrider::tlsrpt {
namespace {

using State = proto::TlsReportState;
constexpr std::int64_t kDay = 86400;
constexpr Duration kLookAgain = std::chrono::hours(1); // the clock of the wall may jump

std::int64_t seconds_of(WallTime time) { return to_unix_micros(time) / 1000000; }
WallTime wall_of(std::int64_t seconds) { return from_unix_micros(seconds * 1000000); }

std::string fresh_token() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  std::uint64_t number = secure_random();
  for (int i = 0; i < 16; ++i, number >>= 4)
    out += kDigits[number & 15];
  return out;
}

Duration pause_after(std::uint32_t tries) {
  Duration pause = Reporter::kFirstPause;
  for (std::uint32_t i = 1; i < tries && pause < Reporter::kLongestPause; ++i)
    pause *= 2;
  return std::min(pause, Reporter::kLongestPause);
}

} // namespace

Reporter::Reporter(ev::Loop& loop, Accounts& accounts, Outlet& outlet, ReporterSetup setup)
    : loop_(loop), accounts_(accounts), outlet_(outlet), setup_(std::move(setup)), changed_(loop),
      timer_(
          loop, [](void* self) { static_cast<Reporter*>(self)->pump(); }, this),
      group_(loop) {
  pump();
}

Reporter::~Reporter() { group_.tear_down(); }

void Reporter::close() {
  timer_.disarm();
  due_.clear();
  group_.close();
  group_.cancel();
}

void Reporter::keep(const std::string& key, const proto::TlsAccount& account) {
  const Result<void> kept = accounts_.put(key, account);
  if (!kept) log::warning("report of " + account.domain + ": " + kept.error().text());
}

// What has ended and has no time yet gets one; what has is taken up again.
void Reporter::begin_day() {
  const std::int64_t today = seconds_of(now()) / kDay * kDay;
  if (today == day_) return;
  day_ = today;
  const Result<void> swept = accounts_.sweep(now());
  if (!swept) log::warning("tlsrpt: " + swept.error().text());
  due_.clear(); // the store knows them all, but for those under way, which come back by themselves
  std::vector<std::string> ended;
  const Result<void> read =
      accounts_.each({}, [&](std::string_view key, const proto::TlsAccount& account) {
        if (account.end > seconds_of(now())) return true;
        if (account.state == State::counting) ended.emplace_back(key);
        if (account.state == State::waiting && !under_way_.contains(std::string(key)))
          due_.emplace(from_unix_micros(account.due), key);
        return true;
      });
  if (!read) log::warning("tlsrpt: " + read.error().text());
  const auto spread = static_cast<std::uint64_t>(std::max<std::int64_t>(setup_.delay.count(), 1));
  for (const std::string& key : ended) {
    std::optional<proto::TlsAccount> account = accounts_.get(key);
    const std::chrono::milliseconds pause(jitter_.below(spread));
    if (account) plan(key, std::move(*account), now() + pause);
  }
}

void Reporter::plan(const std::string& key, proto::TlsAccount account, WallTime due) {
  account.state = State::waiting;
  if (account.report_id.empty())
    account.report_id = report_id(account, setup_.letterhead, fresh_token());
  account.due = to_unix_micros(due);
  keep(key, account);
  due_.emplace(due, key);
}

void Reporter::pump() {
  if (group_.closed()) return;
  begin_day();
  while (!due_.empty() && due_.begin()->first <= now() && under_way_.size() < kMostAtATime) {
    const std::string key = due_.begin()->second;
    due_.erase(due_.begin());
    if (under_way_.insert(key).second) group_.spawn(run(key), "a report");
  }
  WallTime next = wall_of(day_ + kDay);
  if (!due_.empty() && under_way_.size() < kMostAtATime) next = std::min(next, due_.begin()->first);
  const Duration pause =
      std::clamp<Duration>(next - now(), std::chrono::milliseconds(1), kLookAgain);
  timer_.arm(loop_.after(pause));
}

ev::RootTask Reporter::run(std::string key) {
  co_await try_report(key);
  under_way_.erase(key);
  changed_.notify_all();
  pump();
}

ev::Task<void> Reporter::try_report(const std::string& key) {
  std::optional<proto::TlsAccount> account = accounts_.get(key);
  if (!account || account->state != State::waiting) co_return; // dropped, or sent by somebody else
  if (!setup_.report_successes && !has_failures(*account)) {
    finish(key, *account, State::nothing, "");
    co_return;
  }
  if (account->first_try == 0) account->first_try = to_unix_micros(now());
  ++account->tries;
  const std::string problem = co_await deliver(key, *account);
  if (account->state != State::waiting) co_return;
  if (problem.empty()) {
    finish(key, *account, State::sent, "");
    co_return;
  }
  if (group_.closed()) { // nothing can be said of it
    keep(key, *account);
    co_return;
  }
  if (now() - from_unix_micros(account->first_try) >= kGiveUp) {
    log::warning("report " + account->report_id + " of " + account->domain +
                 ": given up: " + problem);
    finish(key, *account, State::given_up, problem);
    co_return;
  }
  log::info("report " + account->report_id + " of " + account->domain + ": " + problem +
            "; tried again later");
  account->note = problem;
  const WallTime due =
      now() + std::chrono::duration_cast<WallTime::duration>(pause_after(account->tries));
  plan(key, std::move(*account), due);
}

void Reporter::finish(const std::string& key, proto::TlsAccount& account, State state,
                      std::string note) {
  account.state = state;
  account.left.clear();
  account.note = std::move(note);
  keep(key, account);
}

ev::Task<std::string> Reporter::deliver(const std::string& key, proto::TlsAccount& account) {
  if (account.left.empty()) {
    Result<std::vector<std::string>> found =
        co_await outlet_.addresses(account.domain, loop_.after(kTimeLimit));
    if (!found && found.error().kind() == ErrorKind::not_found) {
      finish(key, account, State::not_wanted, found.error().text());
      co_return std::string();
    }
    if (!found) co_return found.error().text();
    account.left = std::move(*found);
  }
  const std::string packed = gzip(to_json(account, setup_.letterhead));
  std::string problem;
  for (const std::string& address : std::vector<std::string>(account.left)) {
    Result<std::string> done = co_await deliver_to(address, account, packed);
    if (!done) {
      if (!problem.empty()) problem += "; ";
      problem += log::printable(address) + ": " + done.error().text();
      continue;
    }
    log::info("report " + account.report_id + " of " + account.domain + ": to " +
              log::printable(address) + ": " + *done);
    std::erase(account.left, address);
    account.done.push_back(address);
    keep(key, account); // R2
  }
  co_return problem;
}

ev::Task<Result<std::string>> Reporter::deliver_to(const std::string& address,
                                                   ev::Lent<const proto::TlsAccount> account,
                                                   const std::string& packed) {
  const ev::Deadline deadline = loop_.after(kTimeLimit);
  const std::optional<std::string> mailbox = mail_address(address);
  if (!mailbox) co_return co_await outlet_.post(address, packed, deadline);
  const Composed message = compose(*account, packed, *mailbox, setup_.letterhead, now());
  Result<std::string> id = co_await outlet_.mail(message);
  if (!id) co_return id.error();
  co_return "queued as " + *id;
}

ev::Task<std::vector<proto::TlsAccount>> Reporter::send_now(const std::string& domain) {
  std::vector<std::string> keys;
  const Result<bool> ended = accounts_.end_today(domain, now());
  if (!ended) log::warning("report of " + domain + ": " + ended.error().text());
  struct Waiting {
    std::string key;
    proto::TlsAccount account;
  };
  std::vector<Waiting> waiting;
  const Result<void> read =
      accounts_.each_of(domain, now(), [&](std::string_view key, const proto::TlsAccount& account) {
        if (account.state == State::counting || account.state == State::waiting)
          waiting.push_back({std::string(key), account});
        return true;
      });
  if (!read) log::warning("report of " + domain + ": " + read.error().text());
  for (Waiting& each : waiting) {
    keys.push_back(each.key);
    if (under_way_.contains(each.key)) continue;
    std::erase_if(due_, [&](const auto& item) { return item.second == each.key; });
    plan(each.key, std::move(each.account), now());
  }
  pump();
  const auto is_pending = [&](const std::string& key) {
    return under_way_.contains(key) || std::any_of(due_.begin(), due_.end(), [&](const auto& item) {
             return item.second == key && item.first <= now();
           });
  };
  while (std::any_of(keys.begin(), keys.end(), is_pending)) {
    Result<void> woken = co_await changed_.wait(ev::Deadline::never(), "a report");
    if (!woken) break;
  }
  std::vector<proto::TlsAccount> out;
  for (const std::string& key : keys)
    if (std::optional<proto::TlsAccount> account = accounts_.get(key))
      out.push_back(std::move(*account));
  co_return std::move(out);
}

} // namespace postrider::tlsrpt

// SPDX-License-Identifier: MIT
#include "sts_policies.hpp"

#include <algorithm>

#include "base/fields.hpp"
#include "base/log.hpp"
#include "mail/domain.hpp"

namespace postrider::tlsmgr {
namespace {

proto::Policy no_policy(std::string reason) {
  proto::Policy out;
  out.reason = std::move(reason);
  return out;
}

// As StsSource::policy() names them.
proto::PolicyTrouble trouble_of(const Error& error) {
  switch (error.kind()) {
  case ErrorKind::refused: return proto::PolicyTrouble::proof;
  case ErrorKind::protocol:
  case ErrorKind::limit: return proto::PolicyTrouble::policy;
  case ErrorKind::timeout:
  case ErrorKind::closed:
  case ErrorKind::cancelled:
  case ErrorKind::busy:
  case ErrorKind::io:
  case ErrorKind::not_found:
  case ErrorKind::config: break;
  }
  return proto::PolicyTrouble::fetch;
}

std::string describe(const std::string& id, const mail::StsPolicy& policy) {
  std::string out = "mode=" + std::string(to_string(policy.mode)) +
                    ", max_age=" + std::to_string(policy.max_age.count()) + ", id=" + id + ", mx=";
  for (std::size_t i = 0; i < policy.mx.size() && i < 10; ++i)
    out += (i == 0 ? "" : " ") + policy.mx[i];
  return policy.mx.size() > 10 ? out + " ..." : out;
}

} // namespace

template <typename V, typename S>
void StsPolicies::Kept::fields(V& v, S& s) {
  v("domain", s.domain);
  v("id", s.id);
  v("mode", s.policy.mode);
  v("mx", s.policy.mx);
  std::int64_t age = s.policy.max_age.count();
  v("max_age", age);
  if constexpr (!std::is_const_v<S>) s.policy.max_age = std::chrono::seconds(age);
  v("checked", s.checked);
  v("asked", s.asked);
}

StsPolicies::StsPolicies(ev::Loop& loop, StsSource& source, std::unique_ptr<Store> store,
                         Duration fetch_timeout)
    : loop_(loop), source_(source), store_(std::move(store)), fetch_timeout_(fetch_timeout),
      fetch_over_(loop), group_(loop) {}

StsPolicies::~StsPolicies() { group_.tear_down(); }

// --- the cache ---------------------------------------------------------------------------------

std::optional<StsPolicies::Kept> StsPolicies::read(const Store::Found& found) {
  Result<Kept> kept = decode<Kept>(found.value);
  if (!kept) return std::nullopt;
  kept->expires = to_unix_micros(found.expires);
  return std::move(*kept);
}

std::optional<StsPolicies::Kept> StsPolicies::find(const std::string& domain) const {
  const auto found = store_ ? store_->get(domain, loop_.clock().wall()) : std::nullopt;
  return found ? read(*found) : std::nullopt;
}

void StsPolicies::keep(const Kept& kept) {
  if (!store_) return;
  const auto written = store_->put(kept.domain, encode(kept), from_unix_micros(kept.expires));
  if (!written) log::warning(kept.domain + ": policy not kept: " + written.error().text());
}

proto::Policy StsPolicies::to_answer(const Kept& kept) {
  proto::Policy out;
  out.present = true;
  out.mode = kept.policy.mode;
  out.mx = kept.policy.mx;
  out.id = kept.id;
  out.fetched = kept.checked;
  out.expires = kept.expires;
  out.max_age = kept.policy.max_age.count();
  return out;
}

const StsPolicies::Lately* StsPolicies::lately(const std::string& domain) {
  const auto found = lately_.find(domain);
  if (found == lately_.end()) return nullptr;
  if (found->second.until > loop_.now()) return &found->second;
  lately_.erase(found);
  return nullptr;
}

void StsPolicies::note(const std::string& domain, const proto::Policy& answer,
                       std::string failed_id) {
  if (lately_.size() >= kMostLately)
    std::erase_if(lately_, [&](const auto& item) { return item.second.until <= loop_.now(); });
  if (lately_.size() >= kMostLately) lately_.clear();
  lately_[domain] = {loop_.now() + kFailurePause, answer, std::move(failed_id)};
}

// --- look-ups ----------------------------------------------------------------------------------

ev::Task<proto::Policy> StsPolicies::ask(const std::string& domain, proto::PolicyWish wish) {
  if (!mail::is_hostname(domain)) co_return no_policy("no domain");
  std::optional<Kept> kept = find(domain);
  if (wish == proto::PolicyWish::drop) {
    if (store_) {
      const Result<void> erased = store_->erase(domain);
      if (!erased) log::warning(domain + ": " + erased.error().text());
    }
    lately_.erase(domain);
  }
  if (wish == proto::PolicyWish::drop || wish == proto::PolicyWish::cached)
    co_return kept ? to_answer(*kept) : no_policy("none is in the cache");
  if (wish == proto::PolicyWish::usual) {
    if (kept) {
      const std::int64_t today = to_unix_micros(now() - kCheckEvery);
      if (kept->asked < today) {
        kept->asked = to_unix_micros(now());
        keep(*kept);
      }
      if (kept->checked < today && lately(domain) == nullptr) look_up(domain, false);
      co_return to_answer(*kept);
    }
    if (const Lately* last = lately(domain)) co_return last->answer;
  }
  const std::shared_ptr<LookUp> running = look_up(domain, wish == proto::PolicyWish::refresh);
  if (!running) co_return kept ? to_answer(*kept) : no_policy("too many look-ups");
  while (!running->done) {
    // It ends by itself, at its own time limit.
    Result<void> woken = co_await running->over.wait(ev::Deadline::never(), "a policy of MTA-STS");
    if (!woken) co_return kept ? to_answer(*kept) : no_policy(woken.error().text());
  }
  co_return running->answer;
}

std::shared_ptr<StsPolicies::LookUp> StsPolicies::look_up(const std::string& domain,
                                                          bool always_fetch) {
  if (const auto found = look_ups_.find(domain); found != look_ups_.end()) return found->second;
  if (look_ups_.size() >= kMostLookUps || group_.closed()) return nullptr;
  auto started = std::make_shared<LookUp>(loop_);
  look_ups_[domain] = started;
  group_.spawn(run(domain, always_fetch, started), "policy of " + domain);
  return started;
}

ev::RootTask StsPolicies::run(std::string domain, bool always_fetch,
                              std::shared_ptr<LookUp> look_up) {
  proto::Policy answer = co_await renew(domain, always_fetch);
  look_up->answer = std::move(answer);
  look_up->done = true;
  look_ups_.erase(domain);
  look_up->over.notify_all();
}

ev::Task<proto::Policy> StsPolicies::renew(const std::string& domain, bool always_fetch) {
  const ev::Deadline deadline = loop_.after(fetch_timeout_);
  Result<std::string> id = co_await source_.id(domain, deadline);
  const Lately* last = lately(domain);
  const bool is_too_soon = last != nullptr && id && last->failed_id == *id && !always_fetch;
  std::optional<Kept> kept = find(domain);
  Error problem(ErrorKind::not_found, "");
  proto::PolicyTrouble trouble = proto::PolicyTrouble::none;
  if (!id) {
    problem = id.error();
  } else if (is_too_soon) {
    problem = Error(ErrorKind::busy, "it could not be fetched a moment ago");
    trouble = last->answer.trouble;
  } else {
    const bool is_same = kept && kept->id == *id;
    const bool is_young =
        kept && from_unix_micros(kept->expires) - now() > kept->policy.max_age / 2;
    if (is_same && is_young && !always_fetch) {
      kept->checked = to_unix_micros(now());
      keep(*kept);
      proto::Policy answer = to_answer(*kept);
      note(domain, answer, "");
      co_return std::move(answer);
    }
    Result<mail::StsPolicy> policy = co_await fetch(domain, deadline);
    if (policy) {
      Kept fresh;
      fresh.domain = domain;
      fresh.id = *id;
      fresh.policy = std::move(*policy);
      fresh.checked = fresh.asked = to_unix_micros(now());
      if (is_same) fresh.asked = kept->asked;
      fresh.expires = to_unix_micros(now() + fresh.policy.max_age);
      log::info(domain + ": policy of MTA-STS: " + describe(*id, fresh.policy));
      keep(fresh);
      proto::Policy answer = to_answer(fresh);
      note(domain, answer, "");
      co_return std::move(answer);
    }
    problem = policy.error();
    trouble = trouble_of(problem);
    log::warning(domain + ": policy of MTA-STS: " + problem.text() +
                 (kept ? "; the one in the cache stays in force" : "; none applies"));
  }
  proto::Policy answer = kept ? to_answer(*kept) : no_policy("");
  answer.reason = problem.text();
  answer.trouble = trouble;
  if (!is_too_soon) note(domain, answer, id ? *id : "");
  co_return std::move(answer);
}

ev::Task<Result<mail::StsPolicy>> StsPolicies::fetch(const std::string& domain,
                                                     ev::Deadline deadline) {
  while (fetches_ >= kMostFetches) {
    Result<void> woken = co_await fetch_over_.wait(deadline, "another policy's fetch");
    if (!woken) co_return woken.error();
  }
  ++fetches_;
  Result<mail::StsPolicy> policy = co_await source_.policy(domain, deadline);
  --fetches_;
  fetch_over_.notify_one();
  co_return std::move(policy);
}

bool StsPolicies::refresh() {
  if (!store_ || group_.closed()) return false;
  std::vector<std::string> due;
  store_->each(now(), [&](const Store::Found& found) {
    const std::optional<Kept> kept = read(found);
    if (kept && from_unix_micros(kept->checked) + kCheckEvery <= now() &&
        from_unix_micros(kept->asked) + kAskedLately > now())
      due.push_back(kept->domain);
    return due.size() + look_ups_.size() < kMostRefreshes;
  });
  for (const std::string& domain : due)
    if (lately(domain) == nullptr) look_up(domain, false);
  return store_->sweep(now()) || due.size() >= kMostRefreshes;
}

void StsPolicies::close() {
  group_.close();
  group_.cancel();
  store_.reset();
}

} // namespace postrider::tlsmgr

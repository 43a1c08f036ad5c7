// SPDX-License-Identifier: MIT
#include "tokens.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "maps/ask.hpp"
#include "tls/digest.hpp"

namespace postrider::tokenmgr {

Tokens::Tokens(ev::Loop& loop, maps::MapList sources, Get get)
    : loop_(loop), sources_(std::move(sources)), get_(std::move(get)),
      timer_(
          loop, [](void* self) { static_cast<Tokens*>(self)->renew(); }, this),
      group_(loop) {}

void Tokens::stop() {
  timer_.disarm();
  group_.close();
  group_.tear_down();
}

// What the table says now counts: a token of another source is another token.
Result<std::shared_ptr<Tokens::Entry>> Tokens::entry(const std::string& name,
                                                     const std::string& text) {
  const auto known = entries_.find(name);
  if (known != entries_.end() && known->second->text == text) return known->second;
  POSTRIDER_TRY(Source source, Source::parse(text));
  if (known == entries_.end() && entries_.size() >= kMost)
    return Error(ErrorKind::limit, "too many tokens");
  auto fresh = std::make_shared<Entry>(loop_, name);
  fresh->text = text;
  fresh->source = std::move(source);
  entries_[name] = fresh;
  return fresh;
}

ev::Task<Result<Secret>> Tokens::get(const std::string& name, const std::string& refused,
                                     ev::Deadline deadline) {
  Result<std::optional<std::string>> text =
      co_await maps::ask(loop_, sources_, name, maps::Key::whole, deadline);
  if (!text) co_return text.error().in("oauth_token_sources");
  if (!*text) co_return Error(ErrorKind::not_found, "oauth_token_sources has no entry for it");
  Result<std::shared_ptr<Entry>> found = entry(name, **text);
  if (!found) co_return found.error().in("oauth_token_sources");
  const std::shared_ptr<Entry> at = *found; // it may be replaced meanwhile
  at->asked = loop_.now();
  // A file is read each time: who changes it needs to tell nobody.
  const bool is_file = at->source.kind == Source::Kind::file;
  const bool stale = !refused.empty() && refused == tls::sha256(at->token.view()) &&
                     loop_.now() - at->got >= kRefusedAnew;
  if (is_file || stale) at->expires = SteadyTime();
  if (is_file) at->next_try = SteadyTime();
  if (at->expires > loop_.now()) co_return at->token;
  if (!at->fetching && loop_.now() < at->next_try) co_return Error(ErrorKind::busy, at->problem);
  begin(at);
  while (at->fetching) {
    Result<void> woken = co_await at->changed.wait(deadline, "a token");
    if (!woken) co_return woken.error();
  }
  if (!at->problem.empty()) co_return Error(ErrorKind::busy, at->problem);
  co_return at->token;
}

void Tokens::begin(const std::shared_ptr<Entry>& entry) {
  if (entry->fetching || group_.closed()) return;
  entry->fetching = true;
  group_.spawn(fetch(entry), "token " + entry->name);
}

ev::RootTask Tokens::fetch(std::shared_ptr<Entry> entry) {
  Result<Grant> grant = co_await get_(entry->source, loop_.after(kSourceLimit));
  if (grant)
    took(*entry, std::move(*grant));
  else
    failed(*entry, grant.error());
  entry->fetching = false;
  entry->changed.notify_all();
  arm();
}

void Tokens::took(Entry& entry, Grant grant) {
  const SteadyTime now = loop_.now();
  if (!entry.problem.empty()) log::info("token " + entry.name + ": there is one again");
  entry.problem.clear();
  entry.pause = kFirstPause;
  entry.token = std::move(grant.token);
  entry.got = now;
  const Duration life = grant.life ? Duration(*grant.life) : kUnknownLife;
  entry.expires = now + life * 95 / 100; // what is in use must not end on the way
  if (entry.source.kind != Source::Kind::refresh) return;
  // An endpoint that says 0 is not to be asked all the time.
  const Duration part =
      std::max(kFirstPause, life * static_cast<Duration::rep>(75 + jitter_.below(10)) / 100);
  entry.renew = now + (now - entry.asked < kIdle ? part : std::max(part, kIdle));
}

void Tokens::failed(Entry& entry, const Error& error) {
  const SteadyTime now = loop_.now();
  if (error.kind() == ErrorKind::refused)
    log::error("token " + entry.name + ": refused; somebody has to log in again: " + error.text());
  else
    log::warning("token " + entry.name + ": " + error.text());
  entry.problem = error.text();
  entry.next_try = entry.renew = now + entry.pause;
  if (entry.source.kind != Source::Kind::refresh) entry.renew = SteadyTime::max();
  entry.pause = std::min(2 * entry.pause, kLongestPause);
}

void Tokens::renew() {
  const SteadyTime now = loop_.now();
  for (const auto& [name, entry] : entries_)
    if (entry->renew <= now) {
      entry->renew = SteadyTime::max();
      begin(entry);
    }
  arm();
}

void Tokens::arm() {
  SteadyTime first = SteadyTime::max();
  for (const auto& [name, entry] : entries_)
    first = std::min(first, entry->renew);
  timer_.arm(ev::Deadline::at(first));
}

} // namespace postrider::tokenmgr

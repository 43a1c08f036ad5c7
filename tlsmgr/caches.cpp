// SPDX-License-Identifier: MIT
#include "caches.hpp"

#include <algorithm>

#include "base/bytes.hpp"
#include "base/fields.hpp"
#include "base/log.hpp"
#include "base/random.hpp"

namespace postrider::tlsmgr {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

// As in Postfix: at most 100 days, at least two minutes.
constexpr milliseconds kLongestTimeout = hours(24 * 100);
constexpr milliseconds kShortestTimeout = minutes(2);
// RFC 8446 section 4.6.1: no session outlives a week.
constexpr milliseconds kLongestKey = hours(24 * 7);
// Of a host that goes on as it was, only this often.
constexpr hours kRememberAgain{1};

struct Memory {
  proto::HostTls level = proto::HostTls::none;
  std::int64_t last_good = 0;
  std::int64_t missing_since = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("level", s.level);
    v("last_good", s.last_good);
    v("missing_since", s.missing_since);
  }
};

CacheOptions::Sessions sessions_of(const config::Settings& settings, const std::string& protocol) {
  CacheOptions::Sessions out;
  const auto client = settings.client(protocol);
  const std::string& database = client.text("tls_session_cache_database");
  out.timeout = client.time("tls_session_cache_timeout");
  if (database.empty() || out.timeout <= milliseconds(0)) return out;
  if (out.timeout > kLongestTimeout)
    log::warning(protocol + "_tls_session_cache_timeout: more than 100 days count as 100 days");
  out.timeout = std::clamp(out.timeout, kShortestTimeout, kLongestTimeout);
  Result<std::string> file = database_file(database);
  if (file)
    out.file = std::move(*file);
  else
    log::warning(protocol + "_tls_session_cache_database: " + file.error().text() +
                 "; sessions are not kept");
  return out;
}

} // namespace

Result<std::string> database_file(std::string_view database) {
  const std::size_t colon = database.find(':');
  const std::string_view type = database.substr(0, std::min(colon, database.size()));
  const std::string_view path = colon == std::string_view::npos ? "" : database.substr(colon + 1);
  if (type != "lmdb" && type != "btree" && type != "hash" && type != "dbm")
    return Error(ErrorKind::config,
                 "no such database: " + std::string(database) + "; there is lmdb:/path");
  if (!path.starts_with('/'))
    return Error(ErrorKind::config, std::string(database) + ": the path must begin with /");
  if (type != "lmdb") log::info(std::string(database) + ": kept as lmdb");
  return std::string(path) + ".lmdb";
}

CacheOptions CacheOptions::load(const config::Settings& settings) {
  CacheOptions out;
  out.sessions = {sessions_of(settings, "smtp"), sessions_of(settings, "lmtp")};
  out.session_limit = settings.size("tls_session_cache_limit");
  out.memory_file = settings.text("data_directory") + "/tls_memory.lmdb";
  out.memory_time = settings.time("tls_memory_time");
  out.ticket_file = settings.text("data_directory") + "/tls_ticket_keys.lmdb";
  out.ticket_period = settings.time("smtpd_tls_session_cache_timeout");
  if (out.ticket_period > milliseconds(0))
    out.ticket_period = std::clamp<milliseconds>(out.ticket_period, kShortestTimeout, kLongestKey);
  return out;
}

Caches::Caches(CacheOptions options, Clock& clock) : options_(std::move(options)), clock_(clock) {
  for (std::size_t i = 0; i < sessions_.size(); ++i) {
    const CacheOptions::Sessions& wanted = options_.sessions[i];
    if (wanted.file.empty()) continue;
    if (i > 0 && wanted.file == options_.sessions[0].file)
      sessions_[i] = sessions_[0];
    else
      sessions_[i] = open(wanted.file, options_.session_limit, kSessionsPerKey,
                          std::max(options_.sessions[0].timeout, options_.sessions[1].timeout));
  }
  if (options_.memory_time > milliseconds(0))
    memory_ = open(options_.memory_file, kMemoryLimit, 1, options_.memory_time);
  if (options_.ticket_period > milliseconds(0))
    tickets_ = open(options_.ticket_file, kTicketLimit, 1, 2 * options_.ticket_period);
}

std::shared_ptr<Store> Caches::open(const std::string& file, std::uint64_t limit, std::size_t keep,
                                    milliseconds longest) {
  Result<Store> store =
      Store::open({.path = file, .limit = limit, .keep = keep, .longest = longest}, clock_.wall());
  if (store) return std::make_shared<Store>(std::move(*store));
  log::warning(file + ": " + store.error().text() + "; going on without");
  return nullptr;
}

// A full disk is said once, until a write succeeds again.
void Caches::note(const Store& store, const Result<void>& written) {
  if (!written && !writes_fail_)
    log::warning(store.path() + ": " + written.error().text() + "; not kept");
  writes_fail_ = !written;
}

std::string Caches::take_session(proto::SessionCache cache, std::string_view key) {
  const auto& store = sessions_[static_cast<std::size_t>(cache)];
  if (!store) return {};
  std::optional<Store::Found> found = store->take(key, clock_.wall());
  return found ? std::move(found->value) : std::string();
}

void Caches::put_session(proto::SessionCache cache, std::string_view key,
                         std::string_view session) {
  const auto index = static_cast<std::size_t>(cache);
  if (!sessions_[index]) return;
  note(*sessions_[index],
       sessions_[index]->put(key, session, clock_.wall() + options_.sessions[index].timeout));
}

proto::HostMemory Caches::recall(std::string_view host) const {
  proto::HostMemory out;
  const auto found = memory_ ? memory_->get(host, clock_.wall()) : std::nullopt;
  if (!found) return out;
  const Result<Memory> memory = decode<Memory>(found->value);
  if (!memory) return out;
  out.level = memory->level;
  out.last_good = memory->last_good;
  out.missing_since = memory->missing_since;
  return out;
}

void Caches::remember(std::string_view host, proto::HostTls level) {
  if (!memory_) return;
  const WallTime now = clock_.wall();
  const proto::HostMemory known = recall(host);
  Memory memory;
  if (level == proto::HostTls::none) {
    if (known.level == proto::HostTls::none || known.missing_since != 0) return;
    memory.level = known.level;
    memory.last_good = known.last_good;
    memory.missing_since = to_unix_micros(now);
  } else {
    const bool is_news = known.level != level || known.missing_since != 0 ||
                         from_unix_micros(known.last_good) + kRememberAgain <= now;
    if (!is_news) return;
    memory.level = level;
    memory.last_good = to_unix_micros(now);
  }
  const WallTime last_good = from_unix_micros(memory.last_good);
  note(*memory_, memory_->put(host, encode(memory), last_good + options_.memory_time));
}

// Periods are counted from the epoch, so that no process has to remember when one began. A key that
// cannot be kept is not used: other processes would not know it.
proto::TicketKeys Caches::ticket_keys() {
  proto::TicketKeys out;
  if (!tickets_) return out;
  const WallTime now = clock_.wall();
  const std::chrono::microseconds length(options_.ticket_period);
  const std::int64_t period = to_unix_micros(now) / length.count();
  const auto end_of = [&](std::int64_t p) { return from_unix_micros((p + 1) * length.count()); };
  for (const std::int64_t p : {period, period - 1}) {
    const std::string name = std::to_string(length.count()) + " " + std::to_string(p);
    const auto kept = tickets_->get(name, now);
    if (kept && kept->value.size() == proto::kTicketKeyBytes) {
      out.keys.push_back(kept->value);
    } else if (p == period) {
      std::string key;
      while (key.size() < proto::kTicketKeyBytes)
        put_le(key, secure_random());
      const Result<void> written = tickets_->put(name, key, end_of(p + 1));
      note(*tickets_, written);
      if (!written) return out;
      out.keys.push_back(std::move(key));
    }
  }
  out.until = to_unix_micros(end_of(period));
  out.usable_until = to_unix_micros(end_of(period + 1));
  return out;
}

bool Caches::sweep() {
  bool more = false;
  for (const auto& store : {sessions_[0], sessions_[1], memory_, tickets_})
    if (store && store->sweep(clock_.wall())) more = true;
  return more;
}

void Caches::close() {
  sessions_ = {};
  memory_.reset();
  tickets_.reset();
}

} // namespace postrider::tlsmgr

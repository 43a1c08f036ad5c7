// SPDX-License-Identifier: MIT
#include "salvage.hpp"

#include <csignal>
#include <cstring>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "entry.hpp"

namespace postrider::tlsmgr {
namespace {

constexpr std::uint64_t kBatch = 1000; // entries per transaction

struct Entry {
  std::string key, value;
};

Result<void> write(db::Env& env, const std::vector<Entry>& entries) {
  return env.write([&](db::Txn& txn) -> Result<void> {
    for (const Entry& entry : entries) {
      POSTRIDER_TRY_VOID(txn.put(entry.key, seal(entry.key, entry.value)));
      POSTRIDER_TRY_VOID(
          txn.put(time_key(digest_of(entry.key), expires_of(entry.key)), std::string_view()));
    }
    return {};
  });
}

Result<void> copy(const StoreSetup& setup, const std::string& to, WallTime now) {
  POSTRIDER_TRY(const db::Env old, db::Env::open({.path = setup.path, .immutable = true}));
  POSTRIDER_TRY(db::Env fresh,
                db::Env::open({.path = to, .map_limit = map_limit(setup), .durable = false}));
  POSTRIDER_TRY(const db::Txn txn, old.read());
  POSTRIDER_TRY(const auto version, txn.get(kVersionKey));
  if (!version || *version != kFormat) return Error(ErrorKind::protocol, "of another version");
  POSTRIDER_TRY_VOID(fresh.write([](db::Txn& out) { return out.put(kVersionKey, kFormat); }));
  std::vector<Entry> batch;
  std::uint64_t bytes = 0;
  Result<void> failed;
  POSTRIDER_TRY_VOID(txn.prefix("e", [&](std::string_view key, std::string_view sealed) {
    const auto value = unseal(key, sealed);
    if (!value || expires_of(key) <= now || expires_of(key) > now + setup.longest) return true;
    bytes += cost_of(sealed.size());
    if (bytes > setup.limit) return false; // also when a damaged tree leads in circles
    batch.push_back({std::string(key), std::string(*value)});
    if (batch.size() < kBatch) return true;
    failed = write(fresh, batch);
    batch.clear();
    return failed.ok();
  }));
  POSTRIDER_TRY_VOID(failed);
  POSTRIDER_TRY_VOID(write(fresh, batch));
  return setup.durable ? fresh.sync() : Result<void>();
}

} // namespace

Result<void> salvage(const StoreSetup& setup, const std::string& fresh, WallTime now) {
  POSTRIDER_TRY_VOID(db::remove_database(fresh));
  const pid_t child = ::fork();
  if (child < 0) return Error::from_errno("fork", errno);
  if (child == 0) {
    for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGALRM})
      ::signal(number, SIG_DFL);
    ::alarm(static_cast<unsigned>(kSalvageLimit.count()));
    ::_exit(copy(setup, fresh, now) ? 0 : 1);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return Error::from_errno("waitpid", errno);
  if (WIFSIGNALED(status))
    return Error(ErrorKind::protocol,
                 std::string("reading it ended with: ") + ::strsignal(WTERMSIG(status)));
  if (WEXITSTATUS(status) != 0)
    return Error(ErrorKind::protocol, "it is no database of this version");
  return {};
}

} // namespace postrider::tlsmgr

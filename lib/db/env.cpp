// SPDX-License-Identifier: MIT
#include "db/env.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.hpp"
#include "db/lmdb.hpp"

namespace postrider::db {

struct Env::State {
  MDB_env* env = nullptr;
  MDB_dbi dbi = 0;
  Options options;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (env != nullptr) mdb_env_close(env);
  }

  // MDB_MAP_RESIZED: another process made the file larger; take over its size once.
  int begin(unsigned flags, MDB_txn** txn) const {
    int code = mdb_txn_begin(env, nullptr, flags, txn);
    if (code == MDB_MAP_RESIZED) {
      code = mdb_env_set_mapsize(env, 0);
      if (code == 0) code = mdb_txn_begin(env, nullptr, flags, txn);
    }
    // Slots of readers that died stay taken until somebody looks.
    if (code == MDB_READERS_FULL) {
      int dead = 0;
      code = mdb_reader_check(env, &dead);
      if (code == 0) code = mdb_txn_begin(env, nullptr, flags, txn);
    }
    return code;
  }

  Result<void> grow() const {
    MDB_envinfo info{};
    if (const int code = mdb_env_info(env, &info); code != 0) return to_error(options.path, code);
    const std::uint64_t now = info.me_mapsize;
    if (now >= options.map_limit)
      return Error(ErrorKind::limit, options.path + ": full at " + std::to_string(now) + " bytes");
    const std::uint64_t next = std::min(options.map_limit, now * 2);
    if (const int code = mdb_env_set_mapsize(env, next); code != 0)
      return to_error(options.path, code);
    return {};
  }
};

static constexpr unsigned kReaders = 512;

Env::Env(std::unique_ptr<State> state) : state_(std::move(state)) {}
Env::Env(Env&&) noexcept = default;
Env& Env::operator=(Env&&) noexcept = default;
Env::~Env() = default;
const std::string& Env::path() const { return state_->options.path; }

// Touching a page behind the end of the file is a SIGBUS: refuse a file that lost its tail.
static Result<void> refuse_cut_file(MDB_env* env, const std::string& path) {
  MDB_envinfo info{};
  MDB_stat stat{};
  mdb_filehandle_t fd = -1;
  int code = mdb_env_info(env, &info);
  if (code == 0) code = mdb_env_stat(env, &stat);
  if (code == 0) code = mdb_env_get_fd(env, &fd);
  if (code != 0) return to_error(path, code);
  struct stat st {};
  if (::fstat(fd, &st) != 0) return Error::from_errno(path, errno);
  const std::uint64_t pages = static_cast<std::uint64_t>(st.st_size) / stat.ms_psize;
  constexpr std::uint64_t kMetaPages = 2;
  if (pages >= kMetaPages && info.me_last_pgno + 1 > pages && info.me_last_pgno >= kMetaPages)
    return Error(ErrorKind::protocol, path + ": the file is shorter than it says");
  return {};
}

// LMDB maps its lock file and writes into it. A hole that a full disk cannot fill is a SIGBUS then,
// so the room is taken before. Behind its last lock a file may be opened and closed freely; none is
// held yet.
static Result<void> reserve_lock_file(const Options& options) {
  constexpr off_t kRoom = 64 * (kReaders + 8); // a line of the cache for each reader, and the head
  const std::string path = options.path + "-lock";
  const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, options.mode));
  if (!file) return Error::from_errno(path, errno);
  struct stat st {};
  if (::fstat(file.get(), &st) == 0 && st.st_size >= kRoom) return {};
  if (const int code = ::posix_fallocate(file.get(), 0, kRoom); code != 0)
    return Error::from_errno(path, code);
  return {};
}

Result<Env> Env::open(const Options& options) {
  if (!options.read_only && !options.immutable) POSTRIDER_TRY_VOID(reserve_lock_file(options));
  auto state = std::make_unique<State>();
  state->options = options;
  int code = mdb_env_create(&state->env);
  if (code == 0) code = mdb_env_set_mapsize(state->env, options.map_size);
  if (code == 0) code = mdb_env_set_maxreaders(state->env, kReaders);
  // NOTLS: read transactions belong to objects, not to threads.
  unsigned flags = MDB_NOSUBDIR | MDB_NOTLS;
  if (options.read_only) flags |= MDB_RDONLY;
  if (options.immutable) flags |= MDB_RDONLY | MDB_NOLOCK;
  if (!options.durable) flags |= MDB_NOSYNC;
  if (code == 0) code = mdb_env_open(state->env, options.path.c_str(), flags, options.mode);
  if (code != 0) return to_error(options.path, code);
  POSTRIDER_TRY_VOID(refuse_cut_file(state->env, options.path));

  MDB_txn* txn = nullptr;
  code = state->begin(options.read_only || options.immutable ? MDB_RDONLY : 0, &txn);
  if (code != 0) return to_error(options.path, code);
  code = mdb_dbi_open(txn, nullptr, 0, &state->dbi);
  if (code != 0) {
    mdb_txn_abort(txn);
    return to_error(options.path, code);
  }
  if (code = mdb_txn_commit(txn); code != 0) return to_error(options.path, code);
  return Env(std::move(state));
}

Result<Txn> Env::read() const {
  auto state = std::make_unique<Txn::State>();
  state->dbi = state_->dbi;
  if (const int code = state_->begin(MDB_RDONLY, &state->txn); code != 0)
    return to_error(path(), code);
  return Txn(std::move(state));
}

Result<void> Env::write(const std::function<Result<void>(Txn&)>& work) {
  while (true) {
    auto state = std::make_unique<Txn::State>();
    state->dbi = state_->dbi;
    if (const int code = state_->begin(0, &state->txn); code != 0) return to_error(path(), code);
    Txn txn(std::move(state));
    Result<void> done = work(txn);
    int code = txn.state_->failed;
    if (code == 0 && !done) return done;
    if (code == 0) {
      code = mdb_txn_commit(txn.state_->txn); // frees it, whatever it returns
      txn.state_->txn = nullptr;
      if (code == 0) return {};
    }
    if (code != MDB_MAP_FULL) return to_error(path(), code).in("database");
    txn.state_.reset(); // the map may only change size between transactions
    POSTRIDER_TRY_VOID(state_->grow());
  }
}

Result<void> Env::sync() {
  if (const int code = mdb_env_sync(state_->env, 1); code != 0) return to_error(path(), code);
  return {};
}

Result<void> remove_database(const std::string& path) {
  for (const std::string& name : {path, path + "-lock"})
    if (::unlink(name.c_str()) != 0 && errno != ENOENT) return Error::from_errno(name, errno);
  return {};
}

} // namespace postrider::db

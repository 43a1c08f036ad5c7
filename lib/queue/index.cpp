// SPDX-License-Identifier: MIT
#include "queue/index.hpp"

#include <algorithm>
#include <fcntl.h>
#include <map>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.hpp"
#include "base/fields.hpp"
#include "db/env.hpp"

namespace postrider::queue {

namespace {

constexpr std::string_view kVersion = "1";
constexpr std::size_t kLongestName = 400; // of a destination or reason in a key
constexpr std::size_t kReason = 160;

std::string big_endian(std::uint64_t value) {
  std::string out(8, '\0');
  for (std::size_t i = 0; i < 8; ++i)
    out[7 - i] = static_cast<char>(value >> (8 * i));
  return out;
}

std::uint64_t from_big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes.substr(0, 8))
    value = (value << 8) | static_cast<unsigned char>(c);
  return value;
}

std::string in_key(std::string_view name) {
  std::string out(name.substr(0, kLongestName));
  std::replace(out.begin(), out.end(), '\0', '?');
  return out;
}

std::string message_key(Id id) { return "m" + big_endian(id.number()); }

std::string due_key(std::int64_t due, Id id) {
  const auto at = static_cast<std::uint64_t>(std::max<std::int64_t>(due, 0));
  return "t" + big_endian(at) + big_endian(id.number());
}

std::string destination_key(const std::string& destination, Id id) {
  return "d" + in_key(destination) + std::string(1, '\0') + big_endian(id.number());
}

Result<void> count(db::Txn& txn, char kind, const std::string& name, std::int64_t by) {
  const std::string key = std::string("n") + kind + in_key(name);
  POSTRIDER_TRY(const auto old, txn.get(key));
  const std::int64_t value =
      (old && old->size() == 8 ? static_cast<std::int64_t>(from_big_endian(*old)) : 0) + by;
  if (value > 0) return txn.put(key, big_endian(static_cast<std::uint64_t>(value)));
  POSTRIDER_TRY(const bool erased, txn.erase(key));
  static_cast<void>(erased);
  return {};
}

Result<void> add_size(db::Txn& txn, std::int64_t by) {
  POSTRIDER_TRY(const auto old, txn.get("Msize"));
  const std::int64_t value =
      (old && old->size() == 8 ? static_cast<std::int64_t>(from_big_endian(*old)) : 0) + by;
  return txn.put("Msize", big_endian(static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0))));
}

Result<void> erase(db::Txn& txn, const std::string& key) {
  POSTRIDER_TRY(const bool erased, txn.erase(key));
  static_cast<void>(erased);
  return {};
}

Result<void> take_out(db::Txn& txn, Id id) {
  POSTRIDER_TRY(const auto found, txn.get(message_key(id)));
  if (!found) return {};
  auto entry = decode<IndexEntry>(*found);
  if (!entry) return entry.error();
  POSTRIDER_TRY_VOID(erase(txn, due_key(entry->due, id)));
  for (const std::string& destination : entry->destinations) {
    POSTRIDER_TRY_VOID(erase(txn, destination_key(destination, id)));
    POSTRIDER_TRY_VOID(count(txn, 'd', destination, -1));
  }
  if (!entry->reason.empty()) POSTRIDER_TRY_VOID(count(txn, 'r', entry->reason, -1));
  POSTRIDER_TRY_VOID(erase(txn, message_key(id)));
  return add_size(txn, -1);
}

Result<void> put_in(db::Txn& txn, const IndexEntry& entry) {
  const Id id(entry.number);
  POSTRIDER_TRY_VOID(txn.put(message_key(id), encode(entry)));
  if (entry.folder != Folder::hold) POSTRIDER_TRY_VOID(txn.put(due_key(entry.due, id), ""));
  for (const std::string& destination : entry.destinations) {
    POSTRIDER_TRY_VOID(txn.put(destination_key(destination, id), ""));
    POSTRIDER_TRY_VOID(count(txn, 'd', destination, 1));
  }
  if (!entry.reason.empty()) POSTRIDER_TRY_VOID(count(txn, 'r', entry.reason, 1));
  return add_size(txn, 1);
}

class LmdbIndex final : public Index {
 public:
  LmdbIndex(db::Env env, State found, std::string starts)
      : env_(std::move(env)), found_(found), starts_(std::move(starts)) {}

  State found() const override { return found_; }

  Result<void> apply(const std::vector<IndexChange>& changes) override {
    return env_.write([&](db::Txn& txn) -> Result<void> {
      for (const IndexChange& change : changes) {
        POSTRIDER_TRY_VOID(take_out(txn, change.id));
        if (change.entry) POSTRIDER_TRY_VOID(put_in(txn, *change.entry));
      }
      return {};
    });
  }

  Result<void> clear() override {
    return env_.write([&](db::Txn& txn) -> Result<void> {
      POSTRIDER_TRY(const auto pool, txn.get("Mpool"));
      const std::string kept(pool.value_or(""));
      POSTRIDER_TRY_VOID(txn.clear());
      POSTRIDER_TRY_VOID(txn.put("Mpool", kept));
      POSTRIDER_TRY_VOID(txn.put("Mversion", kVersion));
      return txn.put("Mstate", "dirty");
    });
  }

  Result<std::optional<IndexEntry>> find(Id id) override {
    POSTRIDER_TRY(const db::Txn txn, env_.read());
    POSTRIDER_TRY(const auto found, txn.get(message_key(id)));
    if (!found) return std::optional<IndexEntry>{};
    POSTRIDER_TRY(IndexEntry entry, decode<IndexEntry>(*found));
    return std::optional(std::move(entry));
  }

  Result<std::vector<Due>> due(std::int64_t until, std::size_t limit,
                               std::optional<Due> after) override {
    POSTRIDER_TRY(const db::Txn txn, env_.read());
    std::vector<Due> out;
    const std::string first = after ? due_key(after->at, after->id) + '\0' : "t";
    const std::string last = due_key(until, Id(UINT64_MAX)) + '\0';
    if (first >= last) return out;
    POSTRIDER_TRY_VOID(txn.range(first, last, [&](std::string_view key, std::string_view) {
      if (key.size() == 17)
        out.push_back({static_cast<std::int64_t>(from_big_endian(key.substr(1))),
                       Id(from_big_endian(key.substr(9)))});
      return out.size() < limit;
    }));
    return out;
  }

  Result<std::optional<std::int64_t>> next_due(std::int64_t after) override {
    POSTRIDER_TRY(const db::Txn txn, env_.read());
    std::optional<std::int64_t> out;
    POSTRIDER_TRY_VOID(txn.range(due_key(after, Id(UINT64_MAX)) + '\0', "u",
                                 [&](std::string_view key, std::string_view) {
                                   out = static_cast<std::int64_t>(from_big_endian(key.substr(1)));
                                   return false;
                                 }));
    return out;
  }

  Result<std::vector<IndexEntry>> page(Id after, std::size_t limit) override {
    POSTRIDER_TRY(const db::Txn txn, env_.read());
    std::vector<IndexEntry> out;
    POSTRIDER_TRY_VOID(
        txn.range(message_key(after) + '\0', "n", [&](std::string_view, std::string_view value) {
          if (auto entry = decode<IndexEntry>(value)) out.push_back(std::move(*entry));
          return out.size() < limit;
        }));
    return out;
  }

  Result<std::vector<Id>> by_destination(const std::string& destination, Id after,
                                         std::size_t limit) override {
    POSTRIDER_TRY(const db::Txn txn, env_.read());
    std::vector<Id> out;
    POSTRIDER_TRY_VOID(txn.range(destination_key(destination, after) + '\0',
                                 destination_key(destination, Id(UINT64_MAX)) + '\0',
                                 [&](std::string_view key, std::string_view) {
                                   out.push_back(Id(from_big_endian(key.substr(key.size() - 8))));
                                   return out.size() < limit;
                                 }));
    return out;
  }

  Result<std::vector<Tally>> destinations(std::size_t limit) override {
    return tallies('d', limit);
  }
  Result<std::vector<Tally>> reasons(std::size_t limit) override { return tallies('r', limit); }

  Result<std::uint64_t> size() override {
    POSTRIDER_TRY(const db::Txn txn, env_.read());
    POSTRIDER_TRY(const auto value, txn.get("Msize"));
    return value && value->size() == 8 ? from_big_endian(*value) : 0;
  }

  void proven() override { ::unlink(starts_.c_str()); }

  Result<void> close_clean() override {
    proven();
    return env_.write([](db::Txn& txn) { return txn.put("Mstate", "clean"); });
  }

 private:
  Result<std::vector<Tally>> tallies(char kind, std::size_t limit) {
    POSTRIDER_TRY(const db::Txn txn, env_.read());
    std::vector<Tally> out;
    POSTRIDER_TRY_VOID(txn.prefix(std::string("n") + kind, [&](std::string_view key,
                                                               std::string_view value) {
      out.push_back({std::string(key.substr(2)), value.size() == 8 ? from_big_endian(value) : 0});
      return true;
    }));
    std::stable_sort(out.begin(), out.end(),
                     [](const Tally& a, const Tally& b) { return a.messages > b.messages; });
    if (out.size() > limit) out.resize(limit);
    return out;
  }

  db::Env env_;
  State found_;
  std::string starts_;
};

constexpr std::uintmax_t kMostStarts = 2;

// One byte for each start that has not proven the index.
Result<std::uintmax_t> count_start(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0 || ::write(fd.get(), ".", 1) != 1)
    return Error::from_errno(path, errno);
  return static_cast<std::uintmax_t>(st.st_size);
}

} // namespace

IndexEntry make_entry(const MessageState& state, Folder folder,
                      std::vector<std::string> destinations) {
  IndexEntry entry;
  entry.number = state.id.number();
  entry.folder = folder;
  entry.due = due_at(state);
  entry.arrival = state.envelope.arrival;
  entry.size = state.facts.size;
  entry.sender = state.envelope.sender;
  std::sort(destinations.begin(), destinations.end());
  destinations.erase(std::unique(destinations.begin(), destinations.end()), destinations.end());
  entry.destinations = std::move(destinations);
  for (std::size_t i = 0; i < state.recipients.size(); ++i) {
    const RecipientState& recipient = state.recipients[i];
    if (is_settled(recipient)) continue;
    if (entry.open_recipients++ == 0) entry.first_recipient = state.envelope.recipients[i].address;
    if (entry.reason.empty())
      entry.reason = recipient.last.reply.empty() ? recipient.last.text : recipient.last.reply;
  }
  if (state.held && !state.hold_reason.empty()) entry.reason = state.hold_reason;
  if (entry.reason.size() > kReason) entry.reason.resize(kReason);
  return entry;
}

Result<std::unique_ptr<Index>> Index::open(const Layout& layout, std::uint64_t pool,
                                           std::uint64_t map_size) {
  // The map never grows, so reads may go on beside the one writer.
  const db::Options options{
      .path = layout.index() + "/waiting.mdb", .map_size = map_size, .map_limit = map_size};
  const std::string identity = big_endian(pool);
  const std::string starts = layout.index() + "/starts";
  POSTRIDER_TRY(const std::uintmax_t unproven, count_start(starts));
  if (unproven >= kMostStarts) {
    POSTRIDER_TRY_VOID(db::remove_database(options.path));
    ::unlink(starts.c_str());
  }
  for (int attempt = 0;; ++attempt) {
    const auto look = [&]() -> Result<std::unique_ptr<Index>> {
      POSTRIDER_TRY(db::Env env, db::Env::open(options));
      State found = State::empty;
      {
        POSTRIDER_TRY(const db::Txn txn, env.read());
        POSTRIDER_TRY(const auto state, txn.get("Mstate"));
        if (state) {
          POSTRIDER_TRY(const auto version, txn.get("Mversion"));
          POSTRIDER_TRY(const auto owner, txn.get("Mpool"));
          if (version != kVersion || owner != identity)
            return Error(ErrorKind::protocol, "the index belongs to another queue or version");
          found = *state == "clean" ? State::clean : State::stale;
        }
      }
      const auto claim = [&](db::Txn& txn) -> Result<void> {
        POSTRIDER_TRY_VOID(txn.put("Mversion", kVersion));
        POSTRIDER_TRY_VOID(txn.put("Mpool", identity));
        return txn.put("Mstate", "dirty"); // until close_clean()
      };
      POSTRIDER_TRY_VOID(env.write(claim));
      return std::unique_ptr<Index>(std::make_unique<LmdbIndex>(std::move(env), found, starts));
    };
    auto index = look();
    // Whatever is wrong with it, the files have all of it.
    if (index || attempt > 0) return index;
    POSTRIDER_TRY_VOID(db::remove_database(options.path));
  }
}

} // namespace postrider::queue

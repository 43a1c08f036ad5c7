// SPDX-License-Identifier: MIT
#include "maps/build.hpp"

#include <cerrno>
#include <cstdio>
#include <unistd.h>

#include "base/ascii.hpp"
#include "db/env.hpp"
#include "maps/text_table.hpp"

namespace postrider::maps {

Result<Built> build_lmdb(std::string_view text, const std::string& file, const std::string& path) {
  const std::string fresh = path + ".new." + std::to_string(::getpid());
  POSTRIDER_TRY_VOID(db::remove_database(fresh));
  Built built;
  const auto fill = [&]() -> Result<void> {
    POSTRIDER_TRY(db::Env env, db::Env::open({.path = fresh, .mode = 0644}));
    return env.write([&](db::Txn& txn) -> Result<void> {
      built = {};
      Problems problems(file);
      const auto put_row = [&](std::size_t line, std::string_view key,
                               std::string_view value) -> Result<void> {
        const std::string folded = lowercase(key);
        POSTRIDER_TRY(const auto known, txn.get(folded));
        if (known) {
          ++built.doubles;
          problems.add(line, "duplicate entry: \"" + folded.substr(0, 100) + "\"");
          return {};
        }
        ++built.entries;
        auto put = txn.put(folded, value);
        return put ? put : put.error().in(file + ", line " + std::to_string(line));
      };
      auto read = for_each_row(text, problems, put_row);
      built.problems = problems.texts();
      return read;
    });
  };
  Result<void> filled = fill();
  if (filled.ok() && std::rename(fresh.c_str(), path.c_str()) != 0)
    filled = Error::from_errno(path, errno);
  // Also the lock file of the new table; on failure, what was written of it. The first error
  // counts.
  Result<void> removed = db::remove_database(fresh);
  if (!filled) return filled.error();
  if (!removed) return removed.error();
  return built;
}

} // namespace postrider::maps

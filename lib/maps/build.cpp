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
    POSTRIDER_TRY_VOID(env.write([&](db::Txn& txn) -> Result<void> {
      built = {};
      return for_each_row(text, file,
                          [&](std::string_view key, std::string_view value) -> Result<void> {
                            const std::string folded = lowercase(key);
                            POSTRIDER_TRY(const auto known, txn.get(folded));
                            if (known) {
                              ++built.doubles;
                              return {};
                            }
                            ++built.entries;
                            return txn.put(folded, value);
                          });
    }));
    return {};
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

// SPDX-License-Identifier: MIT
// Makes lmdb: tables from text tables, for `postrider map`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace postrider::maps {

struct Built {
  std::uint64_t entries = 0;
  std::uint64_t doubles = 0;         // keys given again; their first value counts
  std::vector<std::string> problems; // lines that were left out, and doubles
};

// Writes `path` anew from the rows of `text` (its name, `file`, is for messages). Programs that use
// the old table see the old or the new one, never a part. REQUIRES path ends in ".lmdb".
Result<Built> build_lmdb(std::string_view text, const std::string& file, const std::string& path);

} // namespace postrider::maps

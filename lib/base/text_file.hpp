// SPDX-License-Identifier: MIT
// Text files that an administrator writes (main.cf, master.cf, tables): read whole, with a bound.
// Their lines: base/logical_lines.hpp. Blocks on the disk: for start-up, reload, and small tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace postrider {

// Two stamps differ when the file was written to or replaced.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_nanos = 0;
  std::int64_t ctime_nanos = 0;

  bool operator==(const FileStamp&) const = default;
};

struct TextFile {
  std::string text;
  FileStamp stamp;
};

inline constexpr std::size_t kTextFileLimit = std::size_t{256} << 20;

// Error refused: the file, or the directory that holds it, may be changed by anybody on this host
// (a directory with the sticky bit is fine). Error limit: larger than `limit`.
Result<TextFile> read_text_file(const std::string& path, std::size_t limit = kTextFileLimit);
Result<FileStamp> stamp_of(const std::string& path);

} // namespace postrider

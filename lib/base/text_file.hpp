// SPDX-License-Identifier: MIT
// Text files that an administrator writes (main.cf, master.cf, tables): read whole, with a bound,
// and cut into logical lines by the rules that Postfix's text files share:
//   - empty lines, lines of white space, and lines whose first non-blank byte is '#' are skipped,
//     also in the middle of a logical line;
//   - a line that starts with white space continues the logical line before it.
// And more leniently: a CR before a line end, and a byte order mark in front, are dropped.
// Blocks on the disk: for start-up, reload, and small tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

struct LogicalLine {
  std::size_t number = 0; // of its first line, from 1
  std::string text;       // without the newlines; white space inside is kept
};

class LogicalLines {
 public:
  explicit LogicalLines(std::string_view text) : rest_(text) {
    if (rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
  }
  // Nothing more: nullopt. A line that continues nothing comes back with its leading white space.
  std::optional<LogicalLine> next();

 private:
  std::string_view take_line();
  std::string_view rest_;
  std::size_t number_ = 0;
};

} // namespace postrider

// SPDX-License-Identifier: MIT
// Files of the queue that consist of an input: in memory, never synced. And their checksums made
// right, so that what stands behind them is reached.
#pragma once

#include <map>

#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.hpp"
#include "base/fs.hpp"
#include "queue/cell.hpp"
#include "queue/message_record.hpp"
#include "target.hpp"

namespace postrider::fuzz {

class InputFiles final : public FileSystem {
 public:
  std::map<std::string, std::string> files; // by path

  Result<Fd> open(const std::string& path, int, std::uint32_t) override {
    const auto found = files.find(path);
    if (found == files.end()) return Error::from_errno(path, ENOENT);
    Fd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    open_[fd.get()] = &found->second;
    return fd;
  }
  Result<std::string> pread(int fd, std::size_t size, std::uint64_t offset) override {
    const std::string& file = *open_.at(fd);
    return offset >= file.size() ? std::string() : file.substr(offset, size);
  }
  Result<FileStat> stat(int fd) override {
    FileStat stat;
    stat.size = open_.at(fd)->size();
    stat.links = 1;
    stat.mode = S_IFREG | 0600;
    stat.uid = ::geteuid();
    return stat;
  }
  Result<void> fdatasync(int) override { return {}; }
  Result<void> fsync(int) override { return {}; }
  Result<void> close(Fd) override { return {}; }

  Result<void> preallocate(int, std::uint64_t) override { return no(); }
  Result<void> truncate(int, std::uint64_t) override { return no(); }
  Result<void> pwrite(int, ByteView, std::uint64_t) override { return no(); }
  Result<void> append(int, ByteView) override { return no(); }
  Result<void> sync_directory(const std::string&) override { return no(); }
  Result<void> rename(const std::string&, const std::string&) override { return no(); }
  Result<void> link(const std::string&, const std::string&) override { return no(); }
  Result<void> unlink(const std::string&) override { return no(); }
  Result<void> mkdir(const std::string&, std::uint32_t) override { return no(); }
  Result<FileStat> stat(const std::string&) override { return no(); }
  Result<std::vector<std::string>> list(const std::string&) override { return no(); }
  Result<bool> try_lock(int) override { return no(); }
  Result<SpaceLeft> space_left(const std::string&) override { return no(); }

 private:
  static Error no() { return Error(ErrorKind::refused, "files that are read only"); }
  std::map<int, const std::string*> open_; // by descriptor
};

inline void put_at(std::string& bytes, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i)
    bytes[at + i] = static_cast<char>(value >> (8 * i));
}
// The checksum in the last four of `size` bytes.
inline void mend_block(std::string& bytes, std::size_t at, std::size_t size) {
  if (bytes.size() < at + size) return;
  put_at(bytes, at + size - 4, crc32c(ByteView(bytes).substr(at, size - 4)));
}
// All three of a record at `at`; its magic and version too.
inline void mend_record(std::string& bytes, std::size_t at) {
  if (bytes.size() < at + queue::kRecordHeader) return;
  bytes.replace(at, 6, std::string("PRmr\1\0", 6));
  const auto number = [&](std::size_t i) {
    return get_le<std::uint32_t>(ByteView(bytes).substr(at + i));
  };
  const std::uint64_t meta = std::uint64_t{number(36)} + number(64);
  const ByteView behind = ByteView(bytes).substr(at + queue::kRecordHeader);
  if (meta <= behind.size()) {
    const std::uint64_t length = get_le<std::uint64_t>(ByteView(bytes).substr(at + 8));
    const std::uint64_t front = queue::kRecordHeader + meta;
    if (length >= front) put_at(bytes, at + 68, crc32c(behind.substr(meta, length - front)));
    put_at(bytes, at + 72, crc32c(behind.substr(0, meta)));
  }
  mend_block(bytes, at, queue::kRecordHeader);
}
// Cells from "length(1) kind(1) body" of the input; a length of 255 is a gap of eight bytes.
inline std::string cells_of(ByteView input, std::uint64_t tag, std::uint64_t offset) {
  std::string out;
  while (!input.empty()) {
    const unsigned length = take_byte(input);
    if (length == 255) {
      out.append(8, '?');
      continue;
    }
    const auto kind = static_cast<std::uint8_t>(take_byte(input));
    queue::put_cell(out, tag, offset + out.size(), kind, input.substr(0, length));
    input.remove_prefix(std::min<std::size_t>(length, input.size()));
  }
  return out;
}

} // namespace postrider::fuzz

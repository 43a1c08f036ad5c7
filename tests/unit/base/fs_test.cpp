// SPDX-License-Identifier: MIT
// The calls of libc that this program makes end here first, and are made short or interrupted when
// a test says so.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.hpp"

namespace {

std::size_t most_bytes = 0; // 0: as many as asked for
int interruptions = 0;
int calls = 0;

std::size_t cut(std::size_t size) {
  ++calls;
  return most_bytes == 0 ? size : std::min(size, most_bytes);
}

bool is_interrupted() {
  if (interruptions == 0 || calls % 2 != 0) return false;
  --interruptions;
  ++calls;
  errno = EINTR;
  return true;
}

} // namespace

extern "C" {

ssize_t pwrite(int fd, const void* bytes, std::size_t size, off_t offset) {
  if (is_interrupted()) return -1;
  return ::syscall(SYS_pwrite64, fd, bytes, cut(size), offset);
}

ssize_t pread(int fd, void* bytes, std::size_t size, off_t offset) {
  if (is_interrupted()) return -1;
  return ::syscall(SYS_pread64, fd, bytes, cut(size), offset);
}

ssize_t write(int fd, const void* bytes, std::size_t size) {
  if (is_interrupted()) return -1;
  return ::syscall(SYS_write, fd, bytes, cut(size));
}
}

namespace postrider {

namespace {

TEST(RealFileSystem, ShortWritesAndInterruptionsAreGoneOnWith) {
  char path[] = "/tmp/postrider-test-XXXXXX";
  const Fd fd(::mkstemp(path));
  ASSERT_TRUE(fd);
  ::unlink(path);
  FileSystem& fs = real_file_system();
  std::string text;
  for (int i = 0; i < 1000; ++i)
    text += std::to_string(i) + " ";
  const auto with_trouble = [](auto call) {
    most_bytes = 7;
    interruptions = 20;
    calls = 0;
    auto result = call();
    most_bytes = 0;
    EXPECT_EQ(interruptions, 0);
    EXPECT_GT(calls, 500);
    interruptions = 0;
    return result;
  };
  ASSERT_TRUE(with_trouble([&] { return fs.append(fd.get(), text); }));
  ASSERT_TRUE(with_trouble([&] { return fs.pwrite(fd.get(), text, text.size()); }));
  const auto back = with_trouble([&] { return fs.pread(fd.get(), 2 * text.size() + 9, 0); });
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, text + text);
}

} // namespace

} // namespace postrider

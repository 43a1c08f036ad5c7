// SPDX-License-Identifier: MIT
#include "trial.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/log.hpp"
#include "base/out_of_memory.hpp"

namespace {

postrider::test::TrialPage* counting = nullptr; // in the program, from begin() on

bool fails() {
  if (counting == nullptr) return false;
  ++counting->count;
  if (--counting->left != 0) return false;
  ++counting->failed;
  errno = ENOMEM;
  return true;
}

} // namespace

#ifdef __SANITIZE_ADDRESS__
// malloc is the sanitizer's.
namespace {
void* take(std::size_t size) {
  while (true) {
    if (void* made = fails() ? nullptr : std::malloc(size)) return made;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) std::abort();
    handler();
  }
}
} // namespace
void* operator new(std::size_t size) { return take(size); }
void* operator new[](std::size_t size) { return take(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return fails() ? nullptr : std::malloc(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return fails() ? nullptr : std::malloc(size);
}
void operator delete(void* old) noexcept { std::free(old); }
void operator delete[](void* old) noexcept { std::free(old); }
void operator delete(void* old, std::size_t) noexcept { std::free(old); }
void operator delete[](void* old, std::size_t) noexcept { std::free(old); }
void operator delete(void* old, const std::nothrow_t&) noexcept { std::free(old); }
void operator delete[](void* old, const std::nothrow_t&) noexcept { std::free(old); }
#else
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) noexcept { return fails() ? nullptr : __libc_malloc(size); }
void* calloc(std::size_t count, std::size_t size) noexcept {
  return fails() ? nullptr : __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) noexcept {
  return fails() ? nullptr : __libc_realloc(old, size);
}
void* aligned_alloc(std::size_t align, std::size_t size) noexcept {
  return fails() ? nullptr : __libc_memalign(align, size);
}
int posix_memalign(void** out, std::size_t align, std::size_t size) noexcept {
  void* made = fails() ? nullptr : __libc_memalign(align, size);
  if (made == nullptr) return ENOMEM;
  *out = made;
  return 0;
}
}
#endif

namespace postrider::test {

namespace {

TrialPage* new_page() {
  void* memory =
      ::mmap(nullptr, sizeof(TrialPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return new (memory) TrialPage();
}

std::string text_of(const Fd& file) {
  std::string out(1U << 16, '\0');
  const ssize_t size = ::pread(file.get(), out.data(), out.size(), 0);
  out.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return out;
}

TrialPage* page_of_this_process = nullptr;

} // namespace

Trial::Trial(std::int64_t n, const std::function<void(TrialPage&)>& program)
    : page_(new_page()), said_(::memfd_create("said", MFD_CLOEXEC)) {
  page_->left = n;
  pid_ = ::fork();
  if (pid_ != 0) {
    pidfd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    return;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(said_.get(), STDERR_FILENO);
  std::set_new_handler(out_of_memory);
  page_of_this_process = page_;
  [&]() noexcept { program(*page_); }();
  log::flush();
  ::_exit(0);
}

Trial::~Trial() {
  if (!ended()) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status_, 0);
  }
  ::munmap(page_, sizeof *page_);
}

void Trial::begin() { counting = page_of_this_process; }

bool Trial::ended() {
  if (!reaped_) reaped_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return reaped_;
}

void Trial::judge() {
  const std::string said = text_of(said_);
  ASSERT_TRUE(ended()) << "it neither works nor ends\n" << said;
  if (WIFEXITED(status_) && WEXITSTATUS(status_) == 0) return;
  EXPECT_TRUE(has_failed()) << "it ended without a reason\n" << said;
  EXPECT_TRUE(said.find("out of memory") != std::string::npos ||
              said.find("Cannot allocate memory") != std::string::npos)
      << status_ << '\n'
      << said;
}

Result<void> TrialFs::pwrite(int fd, ByteView bytes, std::uint64_t offset) {
  ++page_.written;
  return WriterFs::pwrite(fd, bytes, offset);
}

Result<void> TrialFs::fdatasync(int fd) {
  const std::int64_t covered = page_.written;
  Result<void> done = WriterFs::fdatasync(fd);
  if (done) page_.synced = covered;
  return done;
}

Result<void> TrialFs::fsync(int fd) {
  const std::int64_t covered = page_.written;
  Result<void> done = WriterFs::fsync(fd);
  if (done) page_.synced = covered;
  return done;
}

void try_allocations(std::int64_t step, const std::function<bool(std::int64_t)>& play) {
  std::int64_t n = 1;
  std::int64_t failed = 0;
  for (; play(n) && !testing::Test::HasFailure(); n += step)
    ++failed;
  EXPECT_FALSE(testing::Test::HasFailure()) << "allocation " << n;
  EXPECT_GT(failed, 0);
  std::printf("%lld allocations failed, the last was number %lld\n", static_cast<long long>(failed),
              static_cast<long long>(n - step));
}

} // namespace postrider::test

// SPDX-License-Identifier: MIT
// A program in a process of its own, in which the Nth allocation fails; all around it (clients,
// servers, the rest of the suite) lives in the test's process and sees what the others would see.
//
// Every allocation by operator new counts; in a build without sanitizers, every malloc of every
// library.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include <sys/types.h>

#include "unit/submit/fake_qmgr.hpp"

namespace postrider::test {

// What program and test both see.
struct TrialPage {
  std::atomic<std::int64_t> left;            // allocations until the one that fails; 0: none does
  std::atomic<std::int64_t> count;           // allocations so far
  std::atomic<std::int64_t> failed;          // so many failed
  std::atomic<std::int64_t> written, synced; // by TrialFs
  std::atomic<bool> done;                    // the program's own word, where it has one
};

class Trial {
 public:
  // `program` runs in a new process, which ends when it returns. n = 0: nothing fails.
  Trial(std::int64_t n, const std::function<void(TrialPage&)>& program);
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  // In the program: from here on allocations count.
  static void begin();

  TrialPage& page() { return *page_; }
  bool has_failed() const { return page_->failed > 0; }
  bool ended();
  int pidfd() const { return pidfd_.get(); } // readable when it has ended
  // It must have ended, well or for want of memory.
  void judge();

 private:
  TrialPage* page_;
  Fd said_; // its standard error
  pid_t pid_ = -1;
  Fd pidfd_;
  int status_ = -1;
  bool reaped_ = false;
};

// Says in the page what was written, and what of it a sync that began later covers.
class TrialFs final : public WriterFs {
 public:
  explicit TrialFs(TrialPage& page) : page_(page) {}
  Result<void> pwrite(int fd, ByteView bytes, std::uint64_t offset) override;
  Result<void> fdatasync(int fd) override;
  Result<void> fsync(int fd) override;

 private:
  TrialPage& page_;
};

// play(n) tries a failure of the nth allocation, and says whether one failed: for n = 1, 1 + step,
// ... until the program needs no more.
void try_allocations(std::int64_t step, const std::function<bool(std::int64_t)>& play);

} // namespace postrider::test

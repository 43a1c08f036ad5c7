// SPDX-License-Identifier: MIT
// A directory that goes with the object: below TMPDIR, or in memory where that is possible, because
// what these tests prove does not depend on a medium.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <unistd.h>

#include "base/check.hpp"

namespace postrider::test {

class ScratchDir {
 public:
  ScratchDir() {
    const char* top = std::getenv("TMPDIR");
    if (top == nullptr) top = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    path_ = std::string(top) + "/postrider-test-XXXXXX";
    POSTRIDER_CHECK(::mkdtemp(path_.data()) != nullptr);
  }
  ~ScratchDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

} // namespace postrider::test

// SPDX-License-Identifier: MIT
// A directory below TMPDIR that goes with the object.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/check.hpp"

namespace postrider::test {

class ScratchDir {
 public:
  ScratchDir() {
    const char* top = std::getenv("TMPDIR");
    path_ = std::string(top != nullptr ? top : "/tmp") + "/postrider-test-XXXXXX";
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

}  // namespace postrider::test

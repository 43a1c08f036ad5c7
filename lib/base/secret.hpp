// SPDX-License-Identifier: MIT
// Text that must not stay in memory: passwords, tokens. Wiped when it goes; moving it leaves no
// copy behind. It has no way into a log line but view().
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace postrider {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text)
      : bytes_(text.empty() ? nullptr : new char[text.size()]), size_(text.size()) {
    if (size_ > 0) std::memcpy(bytes_.get(), text.data(), size_);
  }
  Secret(const Secret& other) : Secret(other.view()) {}
  Secret(Secret&& other) noexcept
      : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}
  Secret& operator=(Secret other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Secret() {
    if (bytes_) ::explicit_bzero(bytes_.get(), size_);
  }

  std::string_view view() const { return {bytes_.get(), size_}; }
  bool empty() const { return size_ == 0; }
  bool operator==(const Secret& other) const { return view() == other.view(); }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
};

// For text that a library gave as a string.
inline void wipe(std::string& text) {
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

} // namespace postrider

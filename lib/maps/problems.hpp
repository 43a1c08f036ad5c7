// SPDX-License-Identifier: MIT
// What is wrong with lines of a table. As in Postfix such a line is left out and the rest of the
// table is used; each problem becomes one warning.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace postrider::maps {

class Problems {
 public:
  // `table` is how messages name it: "/etc/postrider/access", "pcre map /etc/postrider/checks".
  explicit Problems(std::string table) : table_(std::move(table)) {}

  // "table, line 7: what"
  void add(std::size_t line, std::string_view what) {
    if (++count_ > kMost) return;
    texts_.push_back(table_ + ", line " + std::to_string(line) + ": " + std::string(what));
  }
  const std::string& table() const { return table_; }
  std::size_t count() const { return count_; }
  // The first of them, and how many were left out.
  std::vector<std::string> texts() const {
    std::vector<std::string> out = texts_;
    if (count_ > kMost)
      out.push_back(table_ + ": " + std::to_string(count_ - kMost) + " more lines are wrong");
    return out;
  }

 private:
  static constexpr std::size_t kMost = 20;
  std::string table_;
  std::vector<std::string> texts_;
  std::size_t count_ = 0;
};

} // namespace postrider::maps

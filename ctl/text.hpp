// SPDX-License-Identifier: MIT
// How `postrider` prints for people. Whatever comes from mail or from peers goes through shown(),
// so that no terminal takes it for a command. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postrider::ctl {

// Control bytes and invalid UTF-8 as \xNN; cut with "..." when longer than `most` columns (0:
// never).
std::string shown(std::string_view text, std::size_t most = 0);
// The same for text of several lines: line ends and tabs stay.
std::string shown_lines(std::string_view text);

std::string show_size(std::uint64_t bytes);      // "812", "4.5k", "12M", "1.2G"
std::string show_duration(std::int64_t seconds); // "0s", "45s", "12m", "3h", "2d"; never negative
// "in 12m", "now", "-": of a time in microseconds; 0 is "-".
std::string show_until(std::int64_t at_micros, std::int64_t now_micros);
std::string show_age(std::int64_t at_micros, std::int64_t now_micros); // "12m"; 0 is "-"
std::string show_time(std::int64_t micros);       // "2026-11-21 07:27:18 +0000"; 0 is "-"
std::string show_sender(std::string_view sender); // "<>" for the null sender

// "1 message", "3 messages".
std::string counted(std::uint64_t count, std::string_view noun);

// Columns, each as wide as its widest cell; the last one is not padded. Widths count characters.
class Table {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  // REQUIRES as many cells as the head has. `right` columns are aligned to the right.
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void align_right(std::size_t column) { right_.push_back(column); }
  bool empty() const { return rows_.size() == 1; }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::size_t> right_;
};

} // namespace postrider::ctl

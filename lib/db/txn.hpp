// SPDX-License-Identifier: MIT
// A transaction on the one table of an Env. Views that it returns are good until the next change in
// the transaction, or until it ends. Keys are 1 to 511 bytes and sort bytewise: numbers in keys are
// written big-endian.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/result.hpp"

namespace postrider::db {

class Env;

class Txn {
 public:
  Txn(Txn&&) noexcept;
  Txn& operator=(Txn&&) noexcept;
  ~Txn(); // gives up what was not committed

  Result<std::optional<std::string_view>> get(std::string_view key) const;
  Result<void> put(std::string_view key, std::string_view value); // replaces
  Result<bool> erase(std::string_view key);                       // false: was not there
  Result<void> clear();                                           // all of it
  Result<std::uint64_t> count() const;

  // Visits entries with first <= key < last in order (an empty `last`: to the end), until `visit`
  // returns false. `visit` must not change the database.
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;
  Result<void> range(std::string_view first, std::string_view last, const Visit& visit) const;
  Result<void> prefix(std::string_view prefix, const Visit& visit) const;

 private:
  friend class Env;
  struct State;
  explicit Txn(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

inline constexpr std::size_t kLongestKey = 511;

} // namespace postrider::db

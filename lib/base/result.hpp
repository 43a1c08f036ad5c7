// SPDX-License-Identifier: MIT
// Result<T>: a value or an Error. Used wherever something can fail for an outside reason, until
// std::expected is there. POSTRIDER_TRY passes an error up; in a coroutine use POSTRIDER_CO_TRY.
#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "base/check.hpp"
#include "base/error.hpp"

namespace postrider {

template <typename T>
class [[nodiscard]] Result {
 public:
  using Value = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}     // NOLINT: on purpose
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {} // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // REQUIRES ok().
  T& value() & {
    require();
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    require();
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    require();
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // REQUIRES !ok().
  const Error& error() const {
    POSTRIDER_CHECK(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  void require() const {
    if (!ok()) check_failed("Result holds a value", __FILE__, __LINE__, error().text());
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using Value = void;
  Result() = default;
  Result(Error error) : error_(std::move(error)) {} // NOLINT

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  void value() const { POSTRIDER_CHECK(ok()); }
  const Error& error() const {
    POSTRIDER_CHECK(error_.has_value());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

} // namespace postrider

#define POSTRIDER_CAT_(a, b) a##b
#define POSTRIDER_CAT(a, b) POSTRIDER_CAT_(a, b)

// POSTRIDER_TRY(auto x, f());   x is f()'s value, or this function returns f()'s error.
#define POSTRIDER_TRY(declaration, expression)                                                     \
  auto POSTRIDER_CAT(try_, __LINE__) = (expression);                                               \
  if (!POSTRIDER_CAT(try_, __LINE__)) return POSTRIDER_CAT(try_, __LINE__).error();                \
  declaration = std::move(POSTRIDER_CAT(try_, __LINE__)).value()

// POSTRIDER_TRY_VOID(f());      the same for Result<void>.
#define POSTRIDER_TRY_VOID(expression)                                                             \
  do {                                                                                             \
    if (auto try_result = (expression); !try_result) return try_result.error();                    \
  } while (false)

// In a coroutine: expression may be one `co_await ...` (C5).
#define POSTRIDER_CO_TRY(declaration, expression)                                                  \
  auto POSTRIDER_CAT(try_, __LINE__) = expression;                                                 \
  if (!POSTRIDER_CAT(try_, __LINE__)) co_return POSTRIDER_CAT(try_, __LINE__).error();             \
  declaration = std::move(POSTRIDER_CAT(try_, __LINE__)).value()

#define POSTRIDER_CO_TRY_VOID(expression)                                                          \
  auto POSTRIDER_CAT(try_, __LINE__) = expression;                                                 \
  if (!POSTRIDER_CAT(try_, __LINE__)) co_return POSTRIDER_CAT(try_, __LINE__).error()

// SPDX-License-Identifier: MIT
// The window of a destination: how many deliveries may be in flight. It begins small, grows with
// each delivery that reached the host, shrinks when the host cannot be reached, and says when a
// whole window's worth of failures has come in a row: then the destination is dead. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.hpp"

namespace postrider::qmgr {

// "1", "0.5", "1/8", "1/concurrency", "1/sqrt_concurrency": between 0 and 1 for a window of 1.
class Feedback {
 public:
  enum class Per { one, window, root_of_window };
  static Result<Feedback> parse(std::string_view text);
  double at(std::uint32_t window) const;
  bool operator==(const Feedback&) const = default;

  double base = 1;
  Per per = Per::one;
};

struct WindowLimits {
  std::uint32_t initial = 5; // initial_destination_concurrency
  std::uint32_t limit = 20;  // destination_concurrency_limit; 0: none
  Feedback positive, negative;
  std::uint32_t failed_cohorts = 1; // 0: never dead
};

class Window {
 public:
  explicit Window(const WindowLimits& limits);

  std::uint32_t size() const { return size_; }
  // A delivery that reached the host. in_flight: others still out; a window that is not used does
  // not grow.
  void succeeded(std::uint32_t in_flight);
  // The host could not be reached. True: it is dead.
  bool failed();
  // As if nothing were known: after a dead destination came back.
  void restart();

 private:
  std::uint32_t bounded(std::uint32_t size) const;
  const WindowLimits* limits_;
  std::uint32_t size_;
  double success_ = 0, failure_ = 0, cohorts_ = 0;
};

// Slots that one destination may have of all that the agents offer: three quarters, as long as
// others could want some.
std::uint32_t largest_share(std::uint32_t capacity);

} // namespace postrider::qmgr

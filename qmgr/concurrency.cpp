// SPDX-License-Identifier: MIT
#include "concurrency.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/ascii.hpp"

namespace postrider::qmgr {

namespace {

bool parse_number(std::string_view text, double& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= 0 && std::isfinite(out);
}

} // namespace

Result<Feedback> Feedback::parse(std::string_view text) {
  const auto bad = [&] {
    return Error(ErrorKind::config, "bad feedback '" + std::string(text) +
                                        "': want a number from 0 to 1, number/number, "
                                        "number/concurrency or number/sqrt_concurrency");
  };
  Feedback feedback;
  const std::size_t slash = text.find('/');
  if (!parse_number(trim(text.substr(0, slash)), feedback.base)) return bad();
  if (slash != std::string_view::npos) {
    const std::string_view per = trim(text.substr(slash + 1));
    double divisor = 1;
    if (per == "concurrency")
      feedback.per = Per::window;
    else if (per == "sqrt_concurrency")
      feedback.per = Per::root_of_window;
    else if (parse_number(per, divisor) && divisor > 0)
      feedback.base /= divisor;
    else
      return bad();
  }
  if (feedback.base > 1) return bad();
  return feedback;
}

double Feedback::at(std::uint32_t window) const {
  switch (per) {
  case Per::one: return base;
  case Per::window: return base / window;
  case Per::root_of_window: return base / std::sqrt(window);
  }
  return base;
}

Window::Window(const WindowLimits& limits) : limits_(&limits), size_(bounded(limits.initial)) {}

std::uint32_t Window::bounded(std::uint32_t size) const {
  if (limits_->limit > 0) size = std::min(size, limits_->limit);
  return std::max(size, 1U);
}

void Window::succeeded(std::uint32_t in_flight) {
  cohorts_ = 0;
  if (size_ == bounded(size_ + 1) || size_ >= in_flight + limits_->initial) return;
  const double gain = limits_->positive.at(size_);
  success_ += gain;
  while (success_ + gain / 2 >= 1) {
    size_ = bounded(size_ + 1);
    success_ -= 1;
    failure_ = 0;
  }
}

bool Window::failed() {
  cohorts_ += 1.0 / size_;
  if (limits_->failed_cohorts > 0 && cohorts_ >= limits_->failed_cohorts) return true;
  const double loss = limits_->negative.at(size_);
  failure_ -= loss;
  while (failure_ - loss / 2 < 0) {
    if (size_ > 1) --size_;
    success_ = 0;
    failure_ += 1;
  }
  return false;
}

void Window::restart() {
  size_ = bounded(limits_->initial);
  success_ = failure_ = cohorts_ = 0;
}

std::uint32_t largest_share(std::uint32_t capacity) {
  return std::max(1U, capacity - capacity / 4);
}

} // namespace postrider::qmgr

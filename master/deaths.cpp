// SPDX-License-Identifier: MIT
#include "deaths.hpp"

#include <algorithm>

namespace postrider::master {

Duration Deaths::record(Death death, Duration ready_for, bool had_clients) {
  ++total_;
  recent_.push_back(std::move(death));
  if (recent_.size() > kKept) recent_.pop_front();
  if (had_clients || ready_for >= kProven) {
    streak_ = 0;
    const bool flurry =
        recent_.size() == kKept && recent_.back().when - recent_.front().when < kFlurry;
    return flurry ? std::min<Duration>(kFlurryPause, longest_) : Duration::zero();
  }
  ++streak_;
  if (streak_ == 1) return Duration::zero();
  Duration pause = kFirstPause;
  for (unsigned i = 2; i < streak_ && pause < longest_; ++i)
    pause *= 2;
  return std::min(pause, longest_);
}

} // namespace postrider::master

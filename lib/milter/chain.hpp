// SPDX-License-Identifier: MIT
// The filters of one session, in their order: each sees the message as those before it left it. The
// first that refuses or discards decides, and those behind it are not asked.
#pragma once

#include <deque>
#include <memory>

#include "milter/filter.hpp"

namespace postrider::milter {

class Chain {
 public:
  // The loop and the dialer outlive it.
  Chain(ev::Loop& loop, Dialer& dialer, std::shared_ptr<const FilterSet> set,
        std::uint64_t most_body);

  ev::Task<Verdict> tell(const Event& event, const Macros& macros);
  ev::Task<Verdict> message(Draft& draft, const Macros& macros);
  void abort();
  void quit();

 private:
  std::shared_ptr<const FilterSet> set_;
  std::deque<Filter> filters_;
};

} // namespace postrider::milter

// SPDX-License-Identifier: MIT
#include "schedule.hpp"

namespace postrider::qmgr {

static_assert(size_of(14, TurnLimits{}) == Size::small);
static_assert(size_of(15, TurnLimits{}) == Size::large);
static_assert(size_of(1'000'000, TurnLimits{.cost = 0}) == Size::small);

} // namespace postrider::qmgr

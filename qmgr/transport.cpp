// SPDX-License-Identifier: MIT
#include "transport.hpp"

#include <algorithm>

#include "dispatch.hpp"

namespace postrider::qmgr {

Transport::Transport(Dispatch& dispatch_, ev::Loop& loop, std::string name_,
                     const TransportLimits& limits_)
    : dispatch(dispatch_), name(std::move(name_)), limits(limits_), round(limits.turns),
      again(
          loop,
          [](void* self) {
            auto* t = static_cast<Transport*>(self);
            t->dispatch.restore(*t);
          },
          this),
      pause(
          loop,
          [](void* self) {
            auto* t = static_cast<Transport*>(self);
            t->dispatch.resume(*t);
          },
          this) {}

bool Transport::is_connecting() const {
  return std::any_of(agents.begin(), agents.end(), [](const auto& a) { return !a->ready(); });
}

Agent* Transport::emptiest() const {
  Agent* best = nullptr;
  for (const auto& agent : agents)
    if (agent->ready() && !agent->retiring() &&
        (best == nullptr || agent->in_flight() < best->in_flight()))
      best = agent.get();
  return best;
}

} // namespace postrider::qmgr

// SPDX-License-Identifier: MIT
#include "mail/outcome.hpp"

#include "base/check.hpp"

namespace postrider::mail {

std::string_view to_string(Gate gate) {
  switch (gate) {
  case Gate::none: return "none";
  case Gate::retry_timer: return "retry timer";
  case Gate::destination_backed_off: return "destination backed off";
  case Gate::concurrency_full: return "concurrency full";
  case Gate::rate_limit: return "rate limit";
  case Gate::held: return "held";
  case Gate::tls_policy: return "TLS policy";
  case Gate::no_agent: return "no agent";
  case Gate::queue_full: return "queue full";
  }
  POSTRIDER_UNREACHABLE();
}

} // namespace postrider::mail

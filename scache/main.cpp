// SPDX-License-Identifier: MIT
// scache: keeps idle plaintext connections for delivery agents, so that each of them can use what
// another has opened. Holds descriptors of connections and never reads from them; talks to agents
// only. Could make mail wait for a moment, or connect more often than needed; sees no mail and no
// secret. Protocol: lib/proto/scache.hpp.
#include <algorithm>

#include "daemon/jail.hpp"
#include "daemon/run.hpp"
#include "service.hpp"

namespace {

using namespace postrider;

// Half of our descriptors: the others are for clients, and for connections on their way.
std::size_t most_connections() {
  return std::clamp<std::uint64_t>(daemon::raise_descriptor_limit(0) / 2, 16, 10000);
}

Result<std::unique_ptr<daemon::Service>> start(daemon::Context& context) {
  scache::Options options;
  options.load(context.settings());
  options.limits.connections = most_connections();
  return std::unique_ptr<daemon::Service>(
      std::make_unique<scache::Service>(context.loop(), options, [&context] { context.retire(); }));
}

} // namespace

int main(int argc, char** argv) {
  return daemon::run(argc, argv, daemon::Program{.name = "scache", .start = start});
}

// SPDX-License-Identifier: MIT
// anvil: counts for smtpd, over all its processes, the connections that clients have and how often
// they connect, send and log in. Talks to smtpd only. Who took it over could have clients refused,
// or let them do as much as one process allows; it sees no mail and no secret. Protocol:
// lib/proto/anvil.hpp.
#include "daemon/run.hpp"
#include "service.hpp"

namespace {

using namespace postrider;

Result<std::unique_ptr<daemon::Service>> start(daemon::Context& context) {
  anvil::Options options;
  options.load(context.settings());
  return std::unique_ptr<daemon::Service>(
      std::make_unique<anvil::Service>(context.loop(), options));
}

} // namespace

int main(int argc, char** argv) {
  daemon::Program program;
  program.name = "anvil";
  program.needs.lifetime = daemon::Lifetime::resident; // it would forget
  program.start = start;
  return daemon::run(argc, argv, program);
}

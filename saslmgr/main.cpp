// SPDX-License-Identifier: MIT
// saslmgr: says to smtpd whether a client's login is good, by Cyrus SASL and what stands behind it:
// sasldb, saslauthd, plug-ins. It talks to smtpd, and to worker processes of its own that run
// Cyrus (worker.hpp): only they see a password database. It sees no mail. Who took a worker over
// could say of any login that it is good, and read the passwords of who logs in through it.
// Protocol: lib/proto/saslmgr.hpp.
#include "daemon/run.hpp"
#include "service.hpp"

int main(int argc, char** argv) {
  using namespace postrider;
  daemon::Program program;
  program.name = "saslmgr";
  program.needs.lifetime = daemon::Lifetime::resident;
  program.needs.groups = true;
  saslmgr::Options options;
  program.open = [&options](daemon::Context& context) -> Result<void> {
    POSTRIDER_TRY(options, saslmgr::Options::load(context.settings()));
    return {};
  };
  program.start = [&options](daemon::Context& context) -> Result<std::unique_ptr<daemon::Service>> {
    return std::unique_ptr<daemon::Service>(std::make_unique<saslmgr::Service>(
        context.loop(), options, saslmgr::Workers::forking(context.loop(), options.worker)));
  };
  return daemon::run(argc, argv, program);
}

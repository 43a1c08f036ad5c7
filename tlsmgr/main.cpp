// SPDX-License-Identifier: MIT
// tlsmgr: keeps what agents and smtpd share about TLS: sessions for resumption, which hosts had
// good TLS, keys of session tickets, and policies of MTA-STS, which it fetches from strangers by
// HTTPS. Its files are caches below data_directory. It sees no mail and no private key; who took it
// over could make agents do full handshakes, resume sessions of its choice, read what clients send
// in sessions of TLS 1.2 that were resumed, forget what it knows of hosts, and take other policies
// of MTA-STS for true: nothing that makes a verification which the administrator requires succeed.
// Protocol: lib/proto/tlsmgr.hpp.
#include "daemon/run.hpp"
#include "service.hpp"

int main(int argc, char** argv) {
  using namespace postrider;
  daemon::Program program;
  program.name = "tlsmgr";
  program.needs.lifetime = daemon::Lifetime::resident;
  tlsmgr::StsOptions sts;
  program.open = [&sts](daemon::Context& context) -> Result<void> {
    POSTRIDER_TRY(sts, tlsmgr::StsOptions::load(context.settings()));
    return {};
  };
  program.start = [&sts](daemon::Context& context) -> Result<std::unique_ptr<daemon::Service>> {
    return std::unique_ptr<daemon::Service>(std::make_unique<tlsmgr::Service>(
        context.loop(), tlsmgr::CacheOptions::load(context.settings()), std::move(sts)));
  };
  return daemon::run(argc, argv, program);
}

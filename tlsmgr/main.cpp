// SPDX-License-Identifier: MIT
// tlsmgr: keeps what delivery agents share about TLS: sessions for resumption, and which hosts had
// good TLS. Its files are caches below data_directory. It sees no mail and no private key; who took
// it over could make agents do full handshakes, resume sessions of its choice, and forget what it
// knows of hosts: nothing that makes a required verification succeed. Protocol:
// lib/proto/tlsmgr.hpp.
#include "daemon/run.hpp"
#include "service.hpp"

int main(int argc, char** argv) {
  using namespace postrider;
  daemon::Program program;
  program.name = "tlsmgr";
  program.needs.lifetime = daemon::Lifetime::resident;
  program.start = [](daemon::Context& context) -> Result<std::unique_ptr<daemon::Service>> {
    return std::unique_ptr<daemon::Service>(std::make_unique<tlsmgr::Service>(
        context.loop(), tlsmgr::CacheOptions::load(context.settings())));
  };
  return daemon::run(argc, argv, program);
}

// SPDX-License-Identifier: MIT
// lmtp: delivers mail to mailbox stores over LMTP. Holds connections to them and read-only
// descriptors of the content it is to send; opens no file after its start; talks to qmgr only. If
// it were taken over it could read the segments it was handed and lie about what was delivered.
// Protocol: lib/proto/deliver.hpp. Engine: lib/smtpclient.
#include "daemon/run.hpp"
#include "service.hpp"

int main(int argc, char** argv) {
  using namespace postrider;
  smtpclient::ClientSetup setup;
  daemon::Program program;
  program.name = "lmtp";
  program.needs.clients = 1; // qmgr
  program.open = [&setup](daemon::Context& context) -> Result<void> {
    POSTRIDER_TRY(setup,
                  smtpclient::ClientSetup::load(context.settings(), smtpclient::Flavor::lmtp));
    return {};
  };
  program.start = [&setup](daemon::Context& context) {
    return lmtp::Service::create(context, std::move(setup));
  };
  return daemon::run(argc, argv, program);
}

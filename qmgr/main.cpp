// SPDX-License-Identifier: MIT
// qmgr: owns the queue directory and decides what is delivered when. It alone opens files of the
// queue; it never talks to the network and never reads the content of a message. Clients of its
// socket: smtpd and bounce (new mail), operators (judged by peer credentials). It connects to
// delivery agents and bounce. A fault here can stop all mail, and lose or repeat it: the rules are
// in doc/queue.md. Protocols: lib/proto/intake.hpp, deliver.hpp, ctl.hpp.
#include "daemon/run.hpp"
#include "service.hpp"

int main(int argc, char** argv) {
  using namespace postrider;
  return daemon::run(
      argc, argv,
      daemon::Program{
          .name = "qmgr",
          .needs = {.lifetime = daemon::Lifetime::resident, .clients = 0, .offload_threads = 9},
          .start = qmgr::create_service});
}

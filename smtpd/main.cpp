// SPDX-License-Identifier: MIT
// smtpd: receives mail over SMTP, from the network and from processes of this host. It holds the
// sockets of its clients, the keys of its certificates, and one journal segment that it may write
// and not read; it opens no file of the queue. What a client sends reaches nothing but the record
// of its own message, or, where mail is forwarded in the session, the next server; then it also
// holds what it says to be let in there.
#include "base/log.hpp"
#include "check.hpp"
#include "daemon/run.hpp"
#include "service.hpp"

int main(int argc, char** argv) {
  using namespace postrider;
  daemon::Program program;
  program.name = "smtpd";
  program.needs.lifetime = daemon::Lifetime::worker;
  program.needs.clients = 0;
  program.needs.offload_threads = 3; // one for the journal, two for message files
  dns::Setup servers;
  smtpd::TlsConfig tls;
  forward::Setup forward;
  program.open = [&](daemon::Context& context) -> Result<void> {
    POSTRIDER_TRY(servers, smtpd::Service::name_servers(context.settings()));
    POSTRIDER_TRY(tls, smtpd::load_tls(context.settings()));
    if (tls.trouble) log::error(tls.trouble->text() + "; going on without TLS");
    POSTRIDER_TRY(forward, forward::Setup::load(context.settings(), context.service_name()));
    return {};
  };
  program.start = [&](daemon::Context& context) {
    return smtpd::Service::create(context, servers, std::move(tls), std::move(forward));
  };
  program.check = smtpd::check;
  return daemon::run(argc, argv, program);
}

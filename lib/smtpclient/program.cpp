// SPDX-License-Identifier: MIT
#include "smtpclient/program.hpp"

#include <memory>
#include <optional>
#include <unistd.h>

#include "base/log.hpp"
#include "daemon/run.hpp"
#include "dns/self_test.hpp"
#include "ipc/channel.hpp"
#include "ipc/colleagues.hpp"
#include "smtpclient/agent.hpp"
#include "smtpclient/dane.hpp"
#include "smtpclient/setup.hpp"

namespace postrider::smtpclient {
namespace {

class Service final : public daemon::Service {
 public:
  static Result<std::unique_ptr<daemon::Service>>
  create(daemon::Context& context, ClientSetup setup, const std::string& name) {
    std::unique_ptr<Service> service(new Service(context.loop(), std::move(setup)));
    POSTRIDER_TRY(service->resolver_,
                  dns::UnboundResolver::create(context.loop(), service->setup_.dns));
    const ClientSetup& made = service->setup_;
    const bool needs_threads = made.options.lookup_native || made.tls.credentials;
    ev::Offload* offload = needs_threads ? &context.offload() : nullptr;
    Service* self = service.get();
    service->agent_ = std::make_unique<Agent>(context.loop(), service->setup_, *service->resolver_,
                                              offload, name, [self] { self->client_.reset(); });
    service->start_self_test();
    return std::unique_ptr<daemon::Service>(std::move(service));
  }

  void accept(daemon::Client client) override {
    const uid_t uid = ipc::peer_credentials(client.fd.get()).uid;
    if (!ipc::is_colleague(uid)) {
      log::warning("refused a client of uid " + std::to_string(uid));
      return;
    }
    if (agent_->serving()) {
      log::warning("a second connection while qmgr is connected: refused");
      return;
    }
    client_ = std::move(client);
    agent_->serve(std::move(client_->fd));
  }
  // When the suite stops there is nobody who could use them.
  void drain(daemon::Drain reason) override {
    agent_->retire(reason == daemon::Drain::retire ? Pool::Leave::hand_over : Pool::Leave::quit);
  }
  std::size_t pending() const override { return agent_->in_flight(); }
  void stop() override {
    checks_.close();
    checks_.tear_down();
    agent_->stop();
  }

 private:
  Service(ev::Loop& loop, ClientSetup setup)
      : setup_(std::move(setup)), loop_(loop), checks_(loop) {}

  // What would otherwise be blamed on each domain.
  void start_self_test() {
    const bool always = is_dane(setup_.options.tls.level);
    const std::string hindrance = dane_hindrance(setup_.options);
    if (always && !hindrance.empty())
      log::warning("DANE cannot work here: " + hindrance);
    else if (setup_.options.dnssec && (always || !setup_.tables.tls_policy.empty()))
      checks_.spawn(test_resolver(), "the DNSSEC self-test");
  }
  ev::RootTask test_resolver() {
    const std::string trouble = co_await dns::find_dnssec_trouble(
        *resolver_, setup_.dns.anchors, loop_.after(setup_.options.dns_time_limit));
    if (!trouble.empty()) log::warning("DANE cannot work here: " + trouble);
  }

  ClientSetup setup_;
  ev::Loop& loop_;
  std::unique_ptr<dns::Resolver> resolver_;
  ev::Group checks_; // what runs beside the mail
  std::unique_ptr<Agent> agent_;
  std::optional<daemon::Client> client_; // counts while qmgr is connected
};

} // namespace

int run_program(int argc, char** argv, const std::string& name, Flavor flavor) {
  ClientSetup setup;
  daemon::Program program;
  program.name = name;
  program.needs.clients = 1; // qmgr
  program.takes_words = true;
  program.open = [&setup, flavor](daemon::Context& context) -> Result<void> {
    for (const std::string& text : tls_warnings(context.settings(), flavor == Flavor::lmtp))
      log::warning(text);
    POSTRIDER_TRY(setup, ClientSetup::load(context.settings(), flavor));
    setup.options.service_name = context.service_name();
    return setup.options.set_flags(context.words(), context.service_name(), context.settings());
  };
  program.start = [&setup, &name](daemon::Context& context) {
    return Service::create(context, std::move(setup), name);
  };
  return daemon::run(argc, argv, program);
}

} // namespace postrider::smtpclient

// SPDX-License-Identifier: MIT
#include "service.hpp"

#include "base/log.hpp"

namespace postrider::lmtp {

Result<std::unique_ptr<daemon::Service>> Service::create(daemon::Context& context,
                                                         smtpclient::ClientSetup setup) {
  std::unique_ptr<Service> service(new Service(context, std::move(setup)));
  POSTRIDER_TRY(service->resolver_,
                dns::UnboundResolver::create(context.loop(), service->setup_.dns));
  ev::Offload* offload = service->setup_.options.lookup_native ? &context.offload() : nullptr;
  Service* self = service.get();
  service->agent_ = std::make_unique<smtpclient::Agent>(context.loop(), service->setup_,
                                                        *service->resolver_, offload, "lmtp",
                                                        [self] { self->client_.reset(); });
  return std::unique_ptr<daemon::Service>(std::move(service));
}

void Service::accept(daemon::Client client) {
  if (agent_->serving()) {
    log::warning("a second connection while qmgr is connected: refused");
    return;
  }
  client_ = std::move(client);
  agent_->serve(std::move(client_->fd));
}

void Service::drain(daemon::Drain) { agent_->retire(); }

} // namespace postrider::lmtp

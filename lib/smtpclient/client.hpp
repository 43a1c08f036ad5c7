// SPDX-License-Identifier: MIT
// What the conversations of one client process share, made of its setup: idle sessions, look-ups,
// TLS, logins. Owns it; the Engine is how deliveries see it.
#pragma once

#include <memory>

#include "smtpclient/deliver.hpp"
#include "smtpclient/name_service.hpp"
#include "smtpclient/setup.hpp"

namespace postrider::smtpclient {

class Client {
 public:
  enum class IdleSessions : std::uint8_t { own, shared }; // shared: by way of scache
  // Setup and resolver must outlive it. `offload` may be null when the options do not ask for
  // native look-ups, and there are no certificates.
  Client(ev::Loop& loop, ClientSetup& setup, dns::Resolver& resolver, ev::Offload* offload,
         IdleSessions idle);
  ~Client() { stop(); }
  void stop(); // before the loop ends; no conversation may be under way

  const Engine& engine() const { return engine_; }
  Pool& pool() { return pool_; }
  // Sessions on their way to another process.
  std::size_t handing_over() const { return handover_.under_way(); }

 private:
  ev::Group goodbyes_;
  service::ConnectionCache cache_;
  Handover handover_;
  Pool pool_;
  NameService names_;
  TargetFinder finder_;
  TlsClient tls_;
  std::unique_ptr<ev::Offload> plugin_threads_; // these three together, or none
  std::unique_ptr<service::TokenManager> tokens_;
  std::unique_ptr<Authenticator> authenticator_;
  Engine engine_;
};

} // namespace postrider::smtpclient

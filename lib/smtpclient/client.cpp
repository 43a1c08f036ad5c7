// SPDX-License-Identifier: MIT
#include "smtpclient/client.hpp"

namespace postrider::smtpclient {
namespace {

service::ConnectionCacheSetup cache_setup(const Options& options) {
  service::ConnectionCacheSetup setup;
  setup.service = options.cache_service;
  setup.timeout = options.cache_protocol_timeout;
  return setup;
}

service::TokenManagerSetup token_setup(const Options& options) {
  service::TokenManagerSetup setup;
  setup.service = options.sasl.token_service;
  setup.cache =
      options.flavor == Flavor::lmtp ? proto::RefusalCache::lmtp : proto::RefusalCache::smtp;
  return setup;
}

} // namespace

Client::Client(ev::Loop& loop, ClientSetup& setup, dns::Resolver& resolver, ev::Offload* offload,
               IdleSessions idle)
    : goodbyes_(loop), cache_(loop, cache_setup(setup.options)),
      handover_(loop, cache_, setup.options, setup.tables),
      pool_(goodbyes_, setup.options, idle == IdleSessions::shared ? &handover_ : nullptr),
      names_(loop, resolver, setup.tables.dns_reply_filter, setup.options),
      finder_(loop, names_, offload, setup.options),
      tls_(loop, setup.options, setup.tables, setup.tls, offload),
      plugin_threads_(setup.options.sasl.enabled
                          ? std::make_unique<ev::Offload>(
                                loop, ev::Offload::Limits{.threads = Authenticator::kPluginThreads})
                          : nullptr),
      tokens_(setup.options.sasl.enabled
                  ? std::make_unique<service::TokenManager>(loop, token_setup(setup.options))
                  : nullptr),
      authenticator_(setup.options.sasl.enabled
                         ? std::make_unique<Authenticator>(loop, *plugin_threads_, setup.options,
                                                           setup.tables, tokens_.get())
                         : nullptr),
      engine_{loop, setup.options, setup.tables, finder_, pool_, tls_, authenticator_.get()} {}

void Client::stop() {
  goodbyes_.close();
  goodbyes_.tear_down();
  handover_.stop();
}

} // namespace postrider::smtpclient

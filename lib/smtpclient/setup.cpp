// SPDX-License-Identifier: MIT
#include "smtpclient/setup.hpp"

#include <unistd.h>

#include "sasl/client.hpp"

namespace postrider::smtpclient {
namespace {

constexpr const char* kSystemAnchor = "/usr/share/dns/root.key"; // Debian: dns-root-data

} // namespace

Result<ClientSetup> ClientSetup::load(const config::Settings& settings, Flavor flavor) {
  POSTRIDER_TRY(Options options, Options::load(settings, flavor, config::Machine::here()));
  return load(settings, std::move(options));
}

Result<ClientSetup> ClientSetup::load(const config::Settings& settings, Options options) {
  ClientSetup setup;
  const Flavor flavor = options.flavor;
  setup.options = std::move(options);
  POSTRIDER_TRY(setup.tables, Tables::open(settings, flavor));
  POSTRIDER_TRY(setup.tls, TlsFiles::open(setup.options.tls, setup.tables));
  if (setup.options.sasl.enabled)
    POSTRIDER_TRY_VOID(sasl::Client::initialize(setup.options.sasl.plugin_path));
  std::string anchor = settings.text("dns_trust_anchor_file");
  const auto client = settings.client(flavor == Flavor::lmtp ? "lmtp" : "smtp");
  // Without being asked for it, validation would make every broken signature a lost destination.
  if (anchor.empty() && client.text("dns_support_level") == "dnssec") {
    anchor = kSystemAnchor;
    if (::access(kSystemAnchor, R_OK) != 0)
      return Error(ErrorKind::config, "dns_support_level = dnssec needs dns_trust_anchor_file");
  }
  POSTRIDER_TRY(setup.dns, dns::Setup::load(settings.words("dns_resolvers"), anchor));
  return setup;
}

} // namespace postrider::smtpclient

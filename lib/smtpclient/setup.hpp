// SPDX-License-Identifier: MIT
// What a client program reads before its jail closes: parameters, tables, own addresses, name
// servers, trust anchors, certificates.
#pragma once

#include "dns/resolver.hpp"
#include "smtpclient/options.hpp"
#include "smtpclient/tables.hpp"
#include "smtpclient/tls_client.hpp"

namespace postrider::smtpclient {

struct ClientSetup {
  Options options;
  Tables tables;
  TlsFiles tls;
  dns::Setup dns;
  // Reads files and asks for the network interfaces.
  static Result<ClientSetup> load(const config::Settings& settings, Flavor flavor);
  // The same with options that have been changed since they were loaded.
  static Result<ClientSetup> load(const config::Settings& settings, Options options);
};

} // namespace postrider::smtpclient

// SPDX-License-Identifier: MIT
// What the configuration does to look-ups in the DNS: short names are completed
// (dns_resolver_options), answers go through a table (dns_reply_filter). A Resolver over a
// Resolver.
#pragma once

#include "dns/resolver.hpp"
#include "maps/map.hpp"
#include "smtpclient/options.hpp"

namespace postrider::smtpclient {

class NameService final : public dns::Resolver {
 public:
  // All must outlive it.
  NameService(ev::Loop& loop, dns::Resolver& resolver, maps::MapList& filter,
              const Options& options)
      : loop_(loop), resolver_(resolver), filter_(filter), options_(options) {}

  // Names that are no host names are not asked for: they do not exist.
  ev::Task<Result<dns::Answer>> query(std::string_view name, dns::Type type,
                                      ev::Deadline deadline) override;

 private:
  ev::Task<Result<dns::Answer>> ask(std::string_view name, dns::Type type, ev::Deadline deadline);

  ev::Loop& loop_;
  dns::Resolver& resolver_;
  maps::MapList& filter_;
  const Options& options_;
};

// The names that may be meant by one, in order; its own is among them. Pure.
std::vector<std::string> completions(std::string_view name, const Options& options);

// "mx.example. 300 IN MX 10 mail.example.", as the table is asked. Pure.
std::string record_text(const dns::Answer& answer, const dns::Record& record, dns::Type type);

} // namespace postrider::smtpclient

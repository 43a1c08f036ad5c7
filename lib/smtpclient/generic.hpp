// SPDX-License-Identifier: MIT
// smtp_generic_maps: other addresses for mail that leaves (generic(5)), in the envelope and in
// headers. One look-up leads to the new address; it is not looked up again. The null sender stays.
#pragma once

#include "smtpclient/tables.hpp"

namespace postrider::smtpclient {

class Generic {
 public:
  // Both must outlive it.
  Generic(Tables& tables, const Options& options) : tables_(tables), options_(options) {}

  bool empty() const { return tables_.generic.empty(); }
  // Ask by maps::ask() when this holds.
  bool may_wait() const { return tables_.generic.may_wait() || tables_.local_domains.may_wait(); }
  // What takes the place of `address`; nullopt: nothing does. Both in the form of mail::Envelope.
  maps::Answer map(std::string_view address) const;
  // Whether users of the domain are known by their name alone.
  Result<bool> is_ours(std::string_view domain) const;

 private:
  Tables& tables_;
  const Options& options_;
};

} // namespace postrider::smtpclient

// SPDX-License-Identifier: MIT
// A Resolver that answers from a zone text, at once or when told to:
//
//   a.example       MX   10 mx.a.example
//   mx.a.example    A    192.0.2.1
//   1.2.0.192.in-addr.arpa  PTR  mx.a.example
//   a.example       NS   ns.a.example
//   b.example       TXT  one-word
//   gone.example    NXDOMAIN
//   slow.example    TEMPORARY SERVFAIL
//   liar.example    BOGUS
//   odd.example     UNUSABLE
//   www.a.example   CNAME mx.a.example
//   _25._tcp.mx.a.example TLSA 3 1 1 0123abcd
//
// A record with SECURE at its end is signed; an answer is secure when all its records are.
// A name that stands there has no data of other types; a name that does not stand there does not
// exist. Records have a TTL of 300.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dns/resolver.hpp"
#include "ev/condition.hpp"

namespace postrider::test {

class FakeDns final : public dns::Resolver {
 public:
  FakeDns(ev::Loop& loop, std::string_view zone);
  ev::Task<Result<dns::Answer>> query(std::string_view name, dns::Type type,
                                      ev::Deadline deadline) override;
  // From now on queries wait until release().
  void hold() { held_ = true; }
  void release();
  // One type of a name answers SERVFAIL, the others as the zone says.
  void fail_only(const std::string& name, dns::Type type) {
    answers_[{name, type}].reason = "SERVFAIL";
  }
  const std::vector<std::string>& asked() const { return asked_; } // "MX a.example"
  void forget_asked() { asked_.clear(); }

 private:
  ev::Condition released_;
  bool held_ = false;
  std::map<std::pair<std::string, dns::Type>, dns::Answer> answers_;
  struct Alias {
    std::string target;
    bool secure;
  };
  std::map<std::string, Alias> aliases_;
  std::map<std::string, dns::Answer> whole_names_; // NXDOMAIN, TEMPORARY
  std::set<std::string> names_;
  std::vector<std::string> asked_;
};

} // namespace postrider::test

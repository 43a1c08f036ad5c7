// SPDX-License-Identifier: MIT
// What a test's smtpd knows about clients and domains.
#pragma once

#include "config.hpp" // of smtpd

namespace postrider::smtpd {

// Ours is ours.example; trouble.example cannot be looked up; 192.0.2.99 stands before us.
class TestLists final : public Lists {
 public:
  Result<bool> is_trusted(const Peer&) override { return false; }
  Result<bool> is_ours(const std::string& domain) override {
    if (domain == "trouble.example") return Error(ErrorKind::io, "table trouble");
    return domain == "ours.example";
  }
  Result<bool> is_final(const std::string& domain) override { return is_ours(domain); }
  Result<bool> is_free_of_limits(const Peer&) override { return false; }
  Result<bool> may_send_bare_newlines(const Peer&) override { return false; }
  Result<bool> may_submit(const std::string&) override { return true; }
  Result<bool> may_xclient(const Peer& peer) override { return peer.address == "192.0.2.99"; }
  Result<bool> may_xforward(const Peer& peer) override { return peer.address == "192.0.2.99"; }
  Result<bool> is_proxy(const std::string&) override { return true; }
};

} // namespace postrider::smtpd

// SPDX-License-Identifier: MIT
// Trust domains: programs that may be taken over together, and so share a uid. Each domain has a
// parameter that names its user; a domain whose default user does not exist shares mail_owner, and
// says so. Only for a suite that root started: otherwise everything has the caller's uid.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/result.hpp"
#include "config/settings.hpp"

namespace postrider::sandbox {

enum class Domain : std::uint8_t {
  queue,          // qmgr: mail_owner itself
  network_in,     // smtpd, anvil
  network_out,    // smtp, lmtp, tlsrpt
  keys,           // tlsmgr
  authentication, // saslmgr, tokenmgr
  cache,          // scache
  bounce,         // bounce
};
inline constexpr Domain kDomains[] = {Domain::queue, Domain::network_in,     Domain::network_out,
                                      Domain::keys,  Domain::authentication, Domain::cache,
                                      Domain::bounce};

std::string_view owner_parameter(Domain domain); // "network_in_owner"
std::string_view programs_of(Domain domain);     // "smtpd and anvil"

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  gid_t mail_group = 0;    // of mail_owner: private/ and data_directory are open to it
  std::string name;        // as the user database has it; empty for a number without a name
  std::string wanted;      // what the parameter says
  bool shared = false;     // with mail_owner
  bool is_default = false; // of the parameter: shared for want of the user
};

// Reads the user database: before chroot. Error config: no such user, or root.
Result<Identity> identity_of(Domain domain, const config::Settings& settings);

// What master, `postrider check` and status have to say when domains share mail_owner for want of a
// user; empty when none does.
std::string sharing_warning(const config::Settings& settings);

} // namespace postrider::sandbox

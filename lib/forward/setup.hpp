// SPDX-License-Identifier: MIT
// What forwarding in the session needs, read before the jail closes: the parameters
// smtpd_forward..., and for each kind of next server the whole set-up of the mail client
// (smtp_* and lmtp_*), which is changed here only where smtpd_forward... says so.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "forward/target.hpp"
#include "maps/map.hpp"
#include "smtpclient/setup.hpp"

namespace postrider::forward {

// Who we are to the next server.
enum class Auth : std::uint8_t { off, maps, external, forward };

struct Rules {
  Targets targets;            // empty: mail is queued, unless a table says otherwise
  bool by_sender = false;     // smtpd_forward_selector
  bool after_content = false; // smtpd_forward_check = data
  bool queues_rest = false;   // smtpd_forward_split
  bool one_recipient = false; // at a time
  bool check_sender = false;
  Auth auth = Auth::maps;
  std::size_t connections = 100; // to one server
  Duration dead_time{};
  std::string address_delimiters; // recipient_delimiter
};

struct Setup {
  Rules rules;
  KindOptions options; // as in `clients`; for parse_targets()
  std::array<std::optional<smtpclient::ClientSetup>, kKinds> clients; // those that may be needed
  maps::MapList maps;

  bool enabled() const { return !rules.targets.empty() || !maps.empty(); }
  // Reads files. Error config names the parameter. Without smtpd_forward and smtpd_forward_maps
  // nothing is read.
  static Result<Setup> load(const config::Settings& settings, const std::string& service_name);
};

bool is_wanted(const config::Settings& settings);

} // namespace postrider::forward

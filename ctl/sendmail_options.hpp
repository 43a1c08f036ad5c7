// SPDX-License-Identifier: MIT
// The command line of sendmail(1), as it has been since 1983 and as Postfix reads it. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "mail/envelope.hpp"

namespace postrider::ctl {

struct SendmailOptions {
  enum class Mode { deliver, smtp, list_queue, flush_queue, verify, daemon, aliases };
  Mode mode = Mode::deliver;
  std::string config_directory; // empty: from the environment, or the built-in one
  std::string sender;           // as written
  bool has_sender = false;
  std::string full_name;
  std::string envid;
  std::string flush_what;  // -qIid, -qRsite, -qSsite: the argument with its letter
  std::uint8_t notify = 0; // mail::NotifyBit
  mail::Ret ret = mail::Ret::unset;
  mail::Body body = mail::Body::unset;
  bool from_headers = false; // -t
  bool dot_ends = true;      // cleared by -i
  bool verbose = false;
  std::vector<std::string> recipients; // as written
};

// Error config: what is wrong with the command line. argv[0] matters: "mailq", "newaliases".
Result<SendmailOptions> parse_sendmail_options(const std::vector<std::string>& argv);

} // namespace postrider::ctl

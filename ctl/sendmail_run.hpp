// SPDX-License-Identifier: MIT
// What sendmail(1) does with its command line. Blocks; one message per run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "mail/envelope.hpp"

namespace postrider::ctl {

int run_sendmail(int argc, char** argv);

// A message for the submit service, spoken over a connected socket. The result is a status of
// sysexits.h; `problem` says why it is not 0. REQUIRES: fd is in blocking mode, with time limits.
struct Submission {
  std::string sender; // internal form; empty: the null sender
  std::vector<std::string> recipients;
  std::string message; // CR LF line ends
  std::string helo;
  std::string envid;
  std::uint8_t notify = 0;
  mail::Ret ret = mail::Ret::unset;
  mail::Body body = mail::Body::unset;
};
int submit_over(int fd, const Submission& submission, std::string& answer);

} // namespace postrider::ctl

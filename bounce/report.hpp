// SPDX-License-Identifier: MIT
// Composes delivery status notifications: multipart/report with a text for people, the fields of
// RFC 3464 (RFC 6533 where addresses are not ASCII) and the original message or its header.
// Pure: clock and random token are passed in.
//
// Reply texts, host names and addresses come from strangers. Whatever they hold, they add no line,
// no header, no report record and no MIME part: every byte outside printable text is replaced, long
// texts are folded, and the boundary is checked against all parts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "mail/envelope.hpp"
#include "proto/deliver.hpp"

namespace postrider::bounce {

// What all reports of this host have in common.
struct Letterhead {
  std::string hostname; // myhostname: Reporting-MTA
  std::string origin;   // myorigin: the domain of MAILER-DAEMON
  std::string mail_name = "Postrider";
  std::string double_bounce_sender = "double-bounce";
  std::uint64_t size_limit = 50000; // bounce_size_limit
  bool threaded = false;            // enable_threaded_bounces
};

enum class Audience : std::uint8_t {
  sender,
  double_bounce,   // the original has no sender: the report goes to the postmaster instead
  postmaster_copy, // beside the report, asked for by notify_classes; reports nothing to anybody
};

struct Circumstances {
  Audience audience = Audience::sender;
  WallTime now;
  std::string token; // 16 or more letters or digits that nobody could foresee
};

class Composed {
 public:
  Composed() {}
  mail::Envelope envelope; // its recipient is the one that was asked for
  mail::ContentFacts facts;
  std::string content; // CRLF line ends
};

// How many bytes of the original, from its beginning, compose() wants.
std::uint64_t wanted_of_original(const proto::Report& report, const Letterhead& letterhead,
                                 Audience audience);

// `original` is the beginning of the content, at least wanted_of_original() bytes of it.
// REQUIRES problem_with(report) is empty.
Composed compose(const proto::Report& report, ByteView original, const Letterhead& letterhead,
                 const Circumstances& circumstances);

// Why a request makes no sense; empty when it does. qmgr is trusted more than we are, but a request
// that names no recipient, or a null sender, must never become mail.
std::string problem_with(const proto::Report& report);

// "sender non-delivery notification": for the log.
std::string_view log_phrase(proto::ReportKind kind, Audience audience);
std::string_view kind_name(proto::ReportKind kind); // envelope.report_kind

} // namespace postrider::bounce

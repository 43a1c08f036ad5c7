// SPDX-License-Identifier: MIT
// THE table of what a client does on a connection, in order. Names, phrases for the log, the
// parameter that limits the time (behind "smtp_" or "lmtp_") and where the RFC says how long.
#pragma once

#include <cstdint>
#include <string_view>

namespace postrider::smtp {

enum class Step : std::uint8_t {
  lookup,
  connect,
  greeting,
  ehlo,
  helo,
  lhlo,
  starttls, // the command, and the handshake behind it or in place of the greeting
  auth,     // AUTH and the replies to its challenges
  xforward,
  mail,
  rcpt,
  data,
  body,
  end_of_data,
  bdat,      // a chunk that is not the last
  bdat_last, // takes the place of the final dot
  rset,
  quit,
};
inline constexpr int kSteps = 18;

struct StepInfo {
  Step step;
  std::string_view doing;   // "timed out while ...", "lost connection with x while ..."
  std::string_view request; // "(in reply to ...)"
  std::string_view timeout; // parameter name without prefix; empty: another step's covers it
  std::string_view clause;  // RFC 5321 unless named
};

inline constexpr StepInfo kStepTable[kSteps] = {
    {Step::lookup, "looking up the destination", "", "", "5.1"},
    {Step::connect, "connecting", "", "connect_timeout", "3.1"},
    {Step::greeting, "receiving the initial server greeting", "initial greeting", "helo_timeout",
     "4.5.3.2.1"},
    {Step::ehlo, "performing the EHLO handshake", "EHLO command", "helo_timeout", "4.1.1.1"},
    {Step::helo, "performing the HELO handshake", "HELO command", "helo_timeout", "4.1.1.1"},
    {Step::lhlo, "performing the LHLO handshake", "LHLO command", "helo_timeout", "RFC 2033 4.1"},
    {Step::starttls, "performing the STARTTLS handshake", "STARTTLS command", "starttls_timeout",
     "RFC 3207 4"},
    {Step::auth, "performing SASL authentication", "AUTH command", "helo_timeout", "RFC 4954 4"},
    {Step::xforward, "sending XFORWARD command", "XFORWARD command", "xforward_timeout",
     "an extension of Postfix"},
    {Step::mail, "sending MAIL FROM", "MAIL FROM command", "mail_timeout", "4.5.3.2.2"},
    {Step::rcpt, "sending RCPT TO", "RCPT TO command", "rcpt_timeout", "4.5.3.2.3"},
    {Step::data, "sending DATA command", "DATA command", "data_init_timeout", "4.5.3.2.4"},
    {Step::body, "sending message body", "message body", "data_xfer_timeout", "4.5.3.2.5"},
    {Step::end_of_data, "sending end of data -- message may be sent more than once",
     "end of DATA command", "data_done_timeout", "4.5.3.2.6"},
    {Step::bdat, "sending message body", "BDAT command", "data_xfer_timeout", "RFC 3030 2"},
    {Step::bdat_last, "sending end of data -- message may be sent more than once",
     "BDAT LAST command", "data_done_timeout", "RFC 3030 2"},
    {Step::rset, "sending final RSET", "RSET command", "rset_timeout", "4.1.1.5"},
    {Step::quit, "sending QUIT", "QUIT command", "quit_timeout", "4.1.1.10"},
};

constexpr const StepInfo& info(Step step) { return kStepTable[static_cast<int>(step)]; }

// Its command, once sent as a whole, ends the content: the message may be delivered from there on.
constexpr bool ends_content(Step step) {
  return step == Step::end_of_data || step == Step::bdat_last;
}

namespace steps_detail {
constexpr bool in_order() {
  for (int i = 0; i < kSteps; ++i)
    if (static_cast<int>(kStepTable[i].step) != i) return false;
  return true;
}
static_assert(in_order());
} // namespace steps_detail

} // namespace postrider::smtp

// SPDX-License-Identifier: MIT
#include "words.hpp"

namespace postrider::bounce {

namespace {

using proto::ReportKind;

// RFC 3463 and the IANA registry of enhanced status codes; only codes whose meaning helps a sender.
struct Meaning {
  std::string_view code; // without the class
  std::string_view sentence;
};
constexpr Meaning kMeanings[] = {
    {"1.0", "There is something wrong with the address."},
    {"1.1", "The address does not exist there."},
    {"1.2", "The domain behind the @ does not exist, or takes no mail."},
    {"1.3", "The address is not written correctly."},
    {"1.6", "The mailbox has moved, and the server does not say where to."},
    {"1.7", "The server does not like the sender address."},
    {"1.8", "The server does not accept the domain of the sender address."},
    {"1.10", "The domain behind the @ takes no mail at all."},
    {"2.1", "The mailbox is switched off."},
    {"2.2", "The mailbox is full."},
    {"2.3", "The message is too large for this mailbox."},
    {"3.1", "The server has no room for mail now."},
    {"3.2", "The server takes no mail now."},
    {"3.4", "The message is too large for the server."},
    {"4.1", "The server did not answer."},
    {"4.2", "The connection to the server was lost."},
    {"4.3", "The address of the server could not be looked up."},
    {"4.4", "No server could be found for this domain."},
    {"4.6", "The message goes in circles between servers."},
    {"4.7", "The message could not be delivered in the time allowed."},
    {"6.7", "The server cannot handle the characters of the address."},
    {"7.0", "The server refused the message for a reason of its own policy."},
    {"7.1", "The server refused the message: the sender or the message is not welcome there."},
    {"7.23", "The server refused the message because a check of the sender (SPF) failed."},
    {"7.26", "The server refused the message because the checks of the sender failed."},
};

} // namespace

std::string_view subject_of(ReportKind kind, bool for_postmaster) {
  switch (kind) {
  case ReportKind::failed:
    return for_postmaster ? "Postmaster Copy: Undelivered Mail"
                          : "Undelivered Mail Returned to Sender";
  case ReportKind::delayed:
    return for_postmaster ? "Postmaster Warning: Delayed Mail"
                          : "Delayed Mail (still being retried)";
  case ReportKind::success: return "Successful Mail Delivery Report";
  }
  return "";
}

std::string introduction(ReportKind kind, bool for_postmaster, std::string_view hostname,
                         std::string_view mail_name, bool whole_message_attached) {
  std::string out =
      "This is " + std::string(mail_name) + ", the mail system at " + std::string(hostname) + ".\n";
  const std::string attached = whole_message_attached ? "The message is attached."
                                                      : "The header of the message is attached.";
  switch (kind) {
  case ReportKind::failed:
    if (for_postmaster) {
      out += "The message below could not be delivered. ";
      out += "This notice goes to the postmaster. " + attached;
    } else {
      out += "Your message could not be delivered to the recipients listed below, and no further "
             "attempt will be made. " +
             attached + "\n";
      out += "Please check the addresses and the reasons given. If you need help, ask the "
             "postmaster and send this whole report along.";
    }
    break;
  case ReportKind::delayed:
    if (for_postmaster) {
      out += "The message below waits for delivery. This notice goes to the postmaster. ";
    } else {
      out += "THIS IS A WARNING ONLY: there is nothing you have to do, and you need not send the "
             "message again.\n";
      out += "Your message has not yet been delivered to the recipients listed below. "
             "It will be tried again. ";
    }
    out += attached;
    break;
  case ReportKind::success:
    out += "Your message was delivered to the recipients listed below, or handed to a mail system "
           "that sends no such reports itself. You asked for this notice. " +
           attached;
    break;
  }
  return out;
}

std::string_view meaning_of(std::string_view dsn) {
  const std::size_t dot = dsn.find('.');
  if (dot == std::string_view::npos || dsn.front() == '2') return {};
  const std::string_view code = dsn.substr(dot + 1);
  // A temporary refusal of an address or by policy is mostly greylisting: it says nothing yet.
  if (dsn.front() == '4' && (code.starts_with("1.") || code.starts_with("7."))) return {};
  for (const Meaning& meaning : kMeanings)
    if (meaning.code == code) return meaning.sentence;
  return {};
}

} // namespace postrider::bounce

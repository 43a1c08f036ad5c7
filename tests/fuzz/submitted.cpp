// SPDX-License-Identifier: MIT
// A message that a program hands to sendmail(1), and address lists on its command line.
#include "fuzz/target.hpp"
#include "mail/address.hpp"
#include "sendmail_message.hpp"

FUZZ(input) {
  using namespace postrider;
  const unsigned options = fuzz::take_byte(input);
  const bool dot_ends = (options & 1) != 0;
  const std::size_t piece = 1 + (options >> 4);
  ctl::MessageReader whole(dot_ends), pieces(dot_ends);
  whole.feed(input);
  for (ByteView rest = input; !rest.empty(); rest.remove_prefix(std::min(piece, rest.size())))
    pieces.feed(rest.substr(0, piece));
  POSTRIDER_CHECK(whole.ended() == pieces.ended());
  std::string message = whole.finish();
  POSTRIDER_CHECK(message == pieces.finish(), "cut into pieces");
  for (std::size_t i = 0; i < message.size(); ++i)
    if (message[i] == '\n') POSTRIDER_CHECK(i > 0 && message[i - 1] == '\r');
  POSTRIDER_CHECK(message.empty() || message.ends_with("\r\n"));

  ctl::PrepareOptions prepare;
  prepare.take_recipients = (options & 2) != 0;
  if ((options & 4) != 0) prepare.from = "\"A B\" <a@b.example>";
  const auto prepared = ctl::prepare_message(message, prepare);
  if (prepared) {
    for (const std::string& address : prepared->recipients)
      POSTRIDER_CHECK(address.find_first_of("\r\n") == address.npos, address);
    prepare.take_recipients = false; // without Bcc: it may have others now
    const auto again = ctl::prepare_message(prepared->message, prepare);
    POSTRIDER_CHECK(again && again->message == prepared->message, "prepared once is enough");
  }
  if (const auto addresses = ctl::parse_address_list(input))
    for (const std::string& address : *addresses)
      POSTRIDER_CHECK(!address.empty() &&
                          address.find_first_of(std::string_view("\r\n\0", 3)) == address.npos,
                      address);
  const std::string name = ctl::quote_display_name(input);
  POSTRIDER_CHECK(name.find_first_of("\r\n") == name.npos, name);
}

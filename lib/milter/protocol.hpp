// SPDX-License-Identifier: MIT
// The Sendmail mail filter protocol, versions 2 to 6, as bytes. One packet is
//
//   length u32 (network order, of what follows) | code u8 | data
//
// Strings in it end in a zero byte. We send commands; the filter answers each with one packet, or
// at the end of the message with any number of changes in front of its answer:
//
//   MTA                                        filter
//   O version actions steps  ---------------->
//                            <----------------  O version actions steps [stage "macro names"]...
//   D C "j" "mx.example" ..  C name 4 port address -->
//                            <----------------  c
//   ...
//   E                        ---------------->
//                            <----------------  h "X-Checked" "yes"
//                            <----------------  p          (still at it)
//                            <----------------  c
//
// A filter's packets are hostile input: bounded here, judged in edits.hpp and answer.hpp. Pure, but
// for read_packet().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "net/stream.hpp"

namespace postrider::milter {

enum class Command : char {
  abort = 'A',
  body = 'B',
  connect = 'C',
  macros = 'D',
  end_of_body = 'E',
  helo = 'H',
  header = 'L',
  mail = 'M',
  end_of_header = 'N',
  negotiate = 'O',
  quit = 'Q',
  rcpt = 'R',
  data = 'T',
  unknown = 'U',
};
// "MAIL", "BODYEOB": for the log.
std::string_view to_string(Command command);

// What a filter may ask for.
enum Action : std::uint32_t {
  add_headers = 0x001,
  change_body = 0x002,
  add_recipients = 0x004,
  delete_recipients = 0x008,
  change_headers = 0x010,
  quarantine = 0x020,
  change_sender = 0x040,
  add_recipients_with_options = 0x080,
  set_macros = 0x100,
};

// What of the dialogue a filter leaves out (no_...: it does not want the command; mute_...: it
// sends no answer), and what it understands.
enum Step : std::uint32_t {
  no_connect = 0x000001,
  no_helo = 0x000002,
  no_mail = 0x000004,
  no_rcpt = 0x000008,
  no_body = 0x000010,
  no_header = 0x000020,
  no_end_of_header = 0x000040,
  mute_header = 0x000080,
  no_unknown = 0x000100,
  no_data = 0x000200,
  may_skip = 0x000400,
  rejected_rcpt = 0x000800, // wants to hear of recipients that we refuse
  mute_connect = 0x001000,
  mute_helo = 0x002000,
  mute_mail = 0x004000,
  mute_rcpt = 0x008000,
  mute_data = 0x010000,
  mute_unknown = 0x020000,
  mute_end_of_header = 0x040000,
  mute_body = 0x080000,
  leading_space = 0x100000, // values of headers as they stand behind the colon
};

// What there is in a version of the protocol. REQUIRES 2 <= version <= 6.
std::uint32_t actions_of(std::uint32_t version);
std::uint32_t steps_of(std::uint32_t version);

inline constexpr std::size_t kChunk = 65535; // bytes of body in one packet, as libmilter has it
// A packet of a filter. libmilter's are half as long.
inline constexpr std::size_t kLongestPacket = 128U << 10;
static_assert(kLongestPacket + 4 < net::Stream::kInputLimit);

struct Packet {
  char code = 0;
  std::string data;
  Packet() {}
};

// Appends one packet.
void put_packet(std::string& out, Command command, ByteView data);
// Appends text, cut at its first zero byte, and a zero byte.
void put_string(std::string& out, std::string_view text);
void put_u32(std::string& out, std::uint32_t value);

// WAITS for one. Error limit: longer than kLongestPacket; protocol: of no length.
ev::Task<Result<Packet>> read_packet(net::Stream& stream, ev::Deadline deadline);

// Takes values off the front of a packet's data; nothing once something was missing.
class Fields {
 public:
  explicit Fields(ByteView data) : rest_(data) {}
  std::optional<std::uint32_t> u32();
  std::optional<std::string> string(); // without its zero byte
  bool empty() const { return rest_.empty(); }

 private:
  ByteView rest_;
};

// The filter's part of the negotiation.
struct Agreement {
  std::uint32_t version = 0;
  std::uint32_t actions = 0;
  std::uint32_t steps = 0;
  struct MacroList {
    std::uint32_t stage; // as macros.hpp counts them
    std::string names;
  };
  std::vector<MacroList> macros;
  Agreement() {}
};
// What we offer with `version`. Error protocol: the filter wants what was not offered.
std::string offer(std::uint32_t version);
Result<Agreement> parse_agreement(const Packet& packet, std::uint32_t offered_version);

} // namespace postrider::milter

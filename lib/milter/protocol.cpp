// SPDX-License-Identifier: MIT
#include "milter/protocol.hpp"

#include "base/check.hpp"

namespace postrider::milter {

namespace {

constexpr std::size_t kMostMacroLists = 7; // one per stage

std::uint32_t get_u32(ByteView in) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<unsigned char>(in[i]);
  return value;
}

} // namespace

std::string_view to_string(Command command) {
  switch (command) {
  case Command::abort: return "ABORT";
  case Command::body: return "BODY";
  case Command::connect: return "CONNECT";
  case Command::macros: return "MACRO";
  case Command::end_of_body: return "BODYEOB";
  case Command::helo: return "HELO";
  case Command::header: return "HEADER";
  case Command::mail: return "MAIL";
  case Command::end_of_header: return "EOH";
  case Command::negotiate: return "OPTNEG";
  case Command::quit: return "QUIT";
  case Command::rcpt: return "RCPT";
  case Command::data: return "DATA";
  case Command::unknown: return "UNKNOWN";
  }
  POSTRIDER_UNREACHABLE();
}

std::uint32_t actions_of(std::uint32_t version) {
  std::uint32_t actions =
      add_headers | change_body | add_recipients | delete_recipients | change_headers | quarantine;
  if (version >= 6) actions |= change_sender | add_recipients_with_options | set_macros;
  return actions;
}

std::uint32_t steps_of(std::uint32_t version) {
  std::uint32_t steps =
      no_connect | no_helo | no_mail | no_rcpt | no_body | no_header | no_end_of_header;
  if (version >= 3) steps |= no_unknown;
  if (version >= 4) steps |= no_data;
  if (version >= 6)
    steps |= mute_header | may_skip | rejected_rcpt | mute_connect | mute_helo | mute_mail |
             mute_rcpt | mute_data | mute_unknown | mute_end_of_header | mute_body | leading_space;
  return steps;
}

void put_u32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift));
}

void put_string(std::string& out, std::string_view text) {
  out.append(text.substr(0, text.find('\0'))).push_back('\0');
}

void put_packet(std::string& out, Command command, ByteView data) {
  put_u32(out, static_cast<std::uint32_t>(data.size() + 1));
  out.push_back(static_cast<char>(command));
  out.append(data);
}

ev::Task<Result<Packet>> read_packet(net::Stream& stream, ev::Deadline deadline) {
  std::size_t need = 4;
  bool sized = false;
  while (true) {
    if (!sized && stream.buffered().size() >= need) {
      const std::uint32_t length = get_u32(stream.buffered());
      if (length == 0) co_return Error(ErrorKind::protocol, "a packet of length 0");
      if (length > kLongestPacket)
        co_return Error(ErrorKind::limit, "a packet of " + std::to_string(length) + " bytes");
      need += length;
      sized = true;
    }
    if (sized && stream.buffered().size() >= need) break;
    Result<void> filled = co_await stream.fill(deadline);
    if (!filled) co_return filled.error();
  }
  Packet packet;
  packet.code = stream.buffered()[4];
  packet.data = stream.buffered().substr(5, need - 5);
  stream.consume(need);
  co_return packet;
}

std::optional<std::uint32_t> Fields::u32() {
  if (rest_.size() < 4) return std::nullopt;
  const std::uint32_t value = get_u32(rest_);
  rest_.remove_prefix(4);
  return value;
}

std::optional<std::string> Fields::string() {
  const std::size_t end = rest_.find('\0');
  if (end == ByteView::npos) return std::nullopt;
  std::string text(rest_.substr(0, end));
  rest_.remove_prefix(end + 1);
  return text;
}

std::string offer(std::uint32_t version) {
  std::string data;
  put_u32(data, version);
  put_u32(data, actions_of(version));
  put_u32(data, steps_of(version));
  return data;
}

Result<Agreement> parse_agreement(const Packet& packet, std::uint32_t offered_version) {
  if (packet.code != static_cast<char>(Command::negotiate))
    return Error(ErrorKind::protocol, "unexpected answer to the negotiation");
  Fields in(packet.data);
  const auto version = in.u32(), actions = in.u32(), steps = in.u32();
  if (!version || !actions || !steps)
    return Error(ErrorKind::protocol, "the answer to the negotiation is too short");
  if (*version < 2 || *version > offered_version)
    return Error(ErrorKind::protocol, "protocol version " + std::to_string(*version) +
                                          " conflicts with ours, " +
                                          std::to_string(offered_version));
  if ((*actions & ~actions_of(offered_version)) != 0)
    return Error(ErrorKind::protocol, "it asks for actions that were not offered");
  Agreement agreement;
  agreement.version = *version;
  agreement.actions = *actions;
  // A step that was not offered counts for nothing: to believe it would be to lose the answers.
  agreement.steps = *steps & steps_of(offered_version);
  while (!in.empty()) {
    const auto stage = in.u32();
    auto names = in.string();
    if (!stage || !names || agreement.macros.size() == kMostMacroLists)
      return Error(ErrorKind::protocol, "its lists of macros are malformed");
    agreement.macros.push_back({*stage, std::move(*names)});
  }
  return agreement;
}

} // namespace postrider::milter

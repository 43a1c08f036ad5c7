// SPDX-License-Identifier: MIT
#include "proxy_header.hpp"

#include <array>
#include <cerrno>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/ascii.hpp"
#include "base/bytes.hpp"
#include "base/crc32c.hpp"
#include "ev/condition.hpp"

namespace postrider::smtpd {

namespace {

constexpr std::size_t kMaxLine = 107; // of version 1, CR LF included
constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kFixed = 16; // of version 2: signature, command, family, length
constexpr std::size_t kMaxRest = 4096;
constexpr std::string_view kPrefix = "PROXY ";

Error wrong(std::string_view what) {
  return Error(ErrorKind::protocol, "bad PROXY header: " + std::string(what));
}

std::size_t big_endian(std::string_view in) {
  return static_cast<std::size_t>(static_cast<unsigned char>(in[0])) << 8 |
         static_cast<unsigned char>(in[1]);
}

// An address that a client can have.
Result<net::Address> checked(std::optional<net::Address> address, int family) {
  if (!address || address->family() != family || address->is_unspecified())
    return wrong("no such address");
  return *address;
}

std::optional<std::uint16_t> port_of(std::string_view text) {
  const auto number = parse_decimal(text);
  const bool plain = text.size() == 1 || (!text.empty() && text.front() != '0');
  if (!number || *number > UINT16_MAX || !plain) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

Result<ProxyParse> parse_line(std::string_view bytes) {
  const std::string_view seen = bytes.substr(0, kMaxLine);
  if (!kPrefix.starts_with(seen.substr(0, kPrefix.size()))) return wrong("no PROXY");
  const std::size_t end = seen.find('\n');
  if (end == std::string_view::npos) {
    if (seen.size() == kMaxLine) return wrong("the line is too long");
    return ProxyParse();
  }
  if (end < kPrefix.size() || seen[end - 1] != '\r') return wrong("no CR LF at its end");
  ProxyParse out;
  out.length = end + 1;
  const std::string_view text = seen.substr(kPrefix.size(), end - 1 - kPrefix.size());
  if (text == "UNKNOWN" || text.starts_with("UNKNOWN ")) return out;
  std::array<std::string_view, 5> words; // family, two addresses, two ports; single blanks
  std::string_view rest = text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t blank = rest.find(' ');
    if ((blank == std::string_view::npos) != (i + 1 == words.size()))
      return wrong("not five words");
    words[i] = rest.substr(0, blank);
    rest.remove_prefix(std::min(rest.size(), words[i].size() + 1));
  }
  const int family = words[0] == "TCP4" ? AF_INET : words[0] == "TCP6" ? AF_INET6 : AF_UNSPEC;
  if (family == AF_UNSPEC) return wrong("no such family");
  const auto from = port_of(words[3]);
  const auto to = port_of(words[4]);
  if (!from || !to) return wrong("no such port");
  for (const std::string_view address : {words[1], words[2]})
    if (address.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos)
      return wrong("no such address");
  POSTRIDER_TRY(out.header.client, checked(net::Address::parse_ip(words[1], *from), family));
  POSTRIDER_TRY(out.header.server, checked(net::Address::parse_ip(words[2], *to), family));
  out.header.has_client = true;
  return out;
}

Result<net::Address> address_at(std::string_view bytes, int family, std::string_view port) {
  const auto number = static_cast<std::uint16_t>(big_endian(port));
  std::optional<net::Address> out;
  if (family == AF_INET) {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(number);
    std::memcpy(&four.sin_addr, bytes.data(), sizeof four.sin_addr);
    out = net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&four), sizeof four);
  } else {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(number);
    std::memcpy(&six.sin6_addr, bytes.data(), sizeof six.sin6_addr);
    out = net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&six), sizeof six);
  }
  return checked(out, family);
}

// Type, length, value: only the checksum of the whole header matters to us.
Result<void> check_extensions(std::string_view header, std::size_t at) {
  constexpr char kChecksum = 0x03;
  while (at < header.size()) {
    if (header.size() - at < 3) return wrong("an extension is cut");
    const std::size_t length = big_endian(header.substr(at + 1));
    if (length > header.size() - at - 3) return wrong("an extension is longer than the header");
    if (header[at] == kChecksum) {
      if (length != 4) return wrong("a checksum of another length");
      std::string without(header);
      std::uint32_t told = 0;
      for (std::size_t i = at + 3; i < at + 7; ++i) {
        told = told << 8 | static_cast<unsigned char>(header[i]);
        without[i] = '\0';
      }
      if (crc32c(without) != told) return wrong("the checksum does not match");
    }
    at += 3 + length;
  }
  return {};
}

Result<ProxyParse> parse_binary(std::string_view bytes) {
  if (!kSignature.starts_with(bytes.substr(0, kSignature.size()))) return wrong("no PROXY");
  if (bytes.size() > 12) {
    const int command = static_cast<unsigned char>(bytes[12]);
    if (command != 0x20 && command != 0x21) return wrong("no such version or command");
  }
  if (bytes.size() < kFixed) return ProxyParse();
  const std::size_t rest = big_endian(bytes.substr(14));
  if (rest > kMaxRest) return wrong("it is too long");
  const bool is_local = bytes[12] == 0x20;
  const int kind = static_cast<unsigned char>(bytes[13]);
  // Over TCP, or not told. UNIX sockets and UDP carry no mail to this service.
  const int family = kind == 0x11 ? AF_INET : kind == 0x21 ? AF_INET6 : AF_UNSPEC;
  if (family == AF_UNSPEC && kind != 0x00 && !is_local) return wrong("no such family");
  const std::size_t size = family == AF_INET ? 4 : 16;
  const std::size_t addresses = family == AF_UNSPEC ? 0 : 2 * size + 4;
  if (!is_local && rest < addresses) return wrong("it is too short for its addresses");
  if (bytes.size() < kFixed + rest) return ProxyParse();
  ProxyParse out;
  out.length = kFixed + rest;
  if (is_local || family == AF_UNSPEC) return out;
  const std::string_view header = bytes.substr(0, out.length);
  const std::string_view ports = header.substr(kFixed + 2 * size);
  POSTRIDER_TRY(out.header.client, address_at(header.substr(kFixed), family, ports));
  POSTRIDER_TRY(out.header.server,
                address_at(header.substr(kFixed + size), family, ports.substr(2)));
  POSTRIDER_TRY_VOID(check_extensions(header, kFixed + addresses));
  out.header.has_client = true;
  return out;
}

} // namespace

Result<ProxyParse> parse_proxy_header(std::string_view bytes) {
  if (bytes.empty()) return ProxyParse();
  return bytes.front() == 'P' ? parse_line(bytes) : parse_binary(bytes);
}

ev::Task<Result<ProxyHeader>> read_proxy_header(ev::Loop& loop, int fd, ev::Deadline deadline) {
  ev::Condition changed(loop);
  const ev::FdWatch watch(
      loop, fd, [](void* owner, bool, bool) { static_cast<ev::Condition*>(owner)->notify_all(); },
      &changed);
  std::string header;
  std::array<char, kFixed + kMaxRest> buffer{};
  while (true) {
    // A look first: what stands behind the header is not ours to take.
    const ssize_t came = ::recv(fd, buffer.data(), buffer.size(), MSG_PEEK);
    if (came == 0) co_return Error(ErrorKind::closed, "no PROXY header: connection closed");
    if (came < 0 && errno == EINTR) continue;
    if (came < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
      co_return Error::from_errno("PROXY header", errno);
    if (came > 0) {
      const std::size_t before = header.size();
      header.append(buffer.data(), static_cast<std::size_t>(came));
      Result<ProxyParse> parsed = parse_proxy_header(header);
      if (!parsed) co_return parsed.error();
      const bool whole = parsed->length != 0;
      const std::size_t ours = (whole ? parsed->length : header.size()) - before;
      if (::recv(fd, buffer.data(), ours, 0) != static_cast<ssize_t>(ours))
        co_return Error::from_errno("PROXY header", errno);
      if (whole) co_return parsed->header;
      continue;
    }
    Result<void> woken = co_await changed.wait(deadline, "a PROXY header");
    if (!woken) {
      if (woken.error().kind() != ErrorKind::timeout) co_return woken.error();
      co_return Error(ErrorKind::timeout, "no PROXY header in time");
    }
  }
}

} // namespace postrider::smtpd

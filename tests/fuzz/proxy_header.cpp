// SPDX-License-Identifier: MIT
// The PROXY header, both versions: cut anywhere, it says the same once it is whole; off a
// connection it is taken to its last byte and no further.
#include "proxy_header.hpp"

#include <sys/socket.h>

#include "base/crc32c.hpp"
#include "fuzz/target.hpp"
#include "net/tcp_stream.hpp"
#include "support/run_task.hpp"

namespace {
using namespace postrider;
using smtpd::ProxyHeader;

// What came in two pieces, and the end behind them.
void read_off(const std::string& bytes, const Result<smtpd::ProxyParse>& whole) {
  static ev::Loop loop;
  auto fds = net::socket_pair();
  POSTRIDER_CHECK(fds.ok());
  Fd writer = std::move(fds->first), reader = std::move(fds->second);
  std::optional<Result<ProxyHeader>> read;
  struct Reader {
    static ev::RootTask run(int fd, std::optional<Result<ProxyHeader>>& out) {
      Result<ProxyHeader> header =
          co_await smtpd::read_proxy_header(loop, fd, ev::Deadline::never());
      out.emplace(std::move(header));
    }
  };
  const auto send = [&](std::string_view piece) {
    if (!piece.empty())
      POSTRIDER_CHECK(::send(writer.get(), piece.data(), piece.size(), MSG_NOSIGNAL) ==
                      static_cast<ssize_t>(piece.size()));
    loop.turn(false);
  };
  ev::Group group(loop);
  group.spawn(Reader::run(reader.get(), read), "reader");
  send(std::string_view(bytes).substr(0, bytes.size() / 2));
  send(std::string_view(bytes).substr(bytes.size() / 2));
  writer.reset();
  while (!read)
    loop.turn(true);
  POSTRIDER_CHECK(read->ok() == (whole && whole->length > 0));
  if (!*read) return;
  const ProxyHeader& header = **read;
  POSTRIDER_CHECK(header.has_client == whole->header.has_client &&
                  header.client == whole->header.client && header.server == whole->header.server);
  std::string rest(bytes.size(), '\0');
  const ssize_t left = ::recv(reader.get(), rest.data(), rest.size(), MSG_DONTWAIT);
  POSTRIDER_CHECK(std::max<ssize_t>(left, 0) == static_cast<ssize_t>(bytes.size() - whole->length));
}

// Makes the checksum right: that of the first extension, where there is one.
void mend_checksum(std::string& bytes) {
  if (bytes.size() < 16) return;
  const std::size_t at = 16 + (bytes[13] == 0x21 ? 36 : 12);
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const std::size_t size = 16 + (std::size_t{byte(14)} << 8 | byte(15));
  if (bytes.size() < size || size < at + 7 || bytes[at] != 3) return;
  bytes.replace(at + 3, 4, 4, '\0');
  const std::uint32_t sum = crc32c(std::string_view(bytes).substr(0, size));
  for (std::size_t i = 0; i < 4; ++i)
    bytes[at + 3 + i] = static_cast<char>(sum >> (24 - 8 * i));
}

} // namespace

FUZZ(input) {
  std::string bytes(input.substr(0, 6000));
  const unsigned first = fuzz::take_byte(input);
  if (first == 'B' || first == 'C') { // binary, with its signature
    bytes.replace(0, 1, std::string("\r\n\r\n\0\r\nQUIT\n", 12));
    if (first == 'C') mend_checksum(bytes);
  }
  const auto whole = smtpd::parse_proxy_header(bytes);
  if (whole) {
    POSTRIDER_CHECK(whole->length <= bytes.size());
    if (whole->header.has_client)
      POSTRIDER_CHECK(whole->header.client.is_ip() && whole->header.server.is_ip() &&
                      whole->header.client.family() == whole->header.server.family());
  }
  read_off(bytes, whole);
  for (std::size_t length = 0; length <= std::min<std::size_t>(bytes.size(), 300); ++length) {
    const auto part = smtpd::parse_proxy_header(std::string_view(bytes).substr(0, length));
    if (!part) {
      POSTRIDER_CHECK(!whole, "wrong from the beginning, and yet right");
      return;
    }
    if (part->length == 0) continue;
    POSTRIDER_CHECK(whole && whole->length == part->length && part->length == length,
                    "whole when its last byte is there");
    POSTRIDER_CHECK(part->header.client == whole->header.client);
    return;
  }
}

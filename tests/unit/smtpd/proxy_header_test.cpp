// SPDX-License-Identifier: MIT
#include "proxy_header.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/crc32c.hpp"
#include "ev/group.hpp"
#include "net/tcp_stream.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpd {
namespace {

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
const std::string kFour("\xc0\x00\x02\x01\xc6\x33\x64\x01\x12\x67\x00\x19", 12); // 4711 -> 25

std::string binary(char command, char family, const std::string& rest) {
  std::string out = kSignature + command + family;
  out.push_back(static_cast<char>(rest.size() >> 8));
  out.push_back(static_cast<char>(rest.size()));
  return out + rest;
}
std::string six() {
  std::string one("\x20\x01\x0d\xb8", 4);
  one += std::string(11, '\0');
  return one + '\1' + one + '\2' + std::string("\x12\x67\x00\x19", 4);
}
std::string extension(char type, const std::string& value) {
  return std::string(1, type) + static_cast<char>(value.size() >> 8) +
         static_cast<char>(value.size()) + value;
}
std::string with_checksum(std::uint32_t error = 0) {
  std::string out =
      binary(0x21, 0x11, kFour + extension(3, std::string(4, '\0')) + extension(2, "x"));
  const std::uint32_t sum = crc32c(out) ^ error;
  const std::size_t at = 16 + 12 + 3;
  for (std::size_t i = 0; i < 4; ++i)
    out[at + i] = static_cast<char>(sum >> (24 - 8 * i));
  return out;
}

struct GoodCase {
  std::string name, header, client; // "" when the proxy speaks for itself
};
std::vector<GoodCase> good() {
  return {
      {"Tcp4", "PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\r\n", "192.0.2.1 4711 198.51.100.1 25"},
      {"Tcp6", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n", "2001:db8::1 4711 2001:db8::2 25"},
      {"Unknown", "PROXY UNKNOWN\r\n", ""},
      {"UnknownWithMore", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""},
      {"Binary4", binary(0x21, 0x11, kFour), "192.0.2.1 4711 198.51.100.1 25"},
      {"Binary6", binary(0x21, 0x21, six()), "2001:db8::1 4711 2001:db8::2 25"},
      {"BinaryExtensions", binary(0x21, 0x11, kFour + extension(4, "abc") + extension(5, "")),
       "192.0.2.1 4711 198.51.100.1 25"},
      {"BinaryChecksum", with_checksum(), "192.0.2.1 4711 198.51.100.1 25"},
      {"Local", binary(0x20, 0x00, ""), ""},
      {"LocalWithMore", binary(0x20, 0x11, "anything"), ""},
      {"BinaryUnspecified", binary(0x21, 0x00, "anything"), ""},
  };
}

class GoodHeader : public testing::TestWithParam<GoodCase> {};
TEST_P(GoodHeader, IsWholeAtItsLastByte) {
  const std::string& header = GetParam().header;
  const std::string more = header + "\x16\x03PROXY ";
  for (std::size_t i = 0; i < header.size(); ++i) {
    const auto part = parse_proxy_header(more.substr(0, i));
    ASSERT_TRUE(part) << i << ": " << part.error().text();
    EXPECT_EQ(part->length, 0U) << i;
  }
  for (const std::size_t size : {header.size(), header.size() + 1, more.size()}) {
    const auto whole = parse_proxy_header(more.substr(0, size));
    ASSERT_TRUE(whole) << whole.error().text();
    EXPECT_EQ(whole->length, header.size());
    EXPECT_EQ(whole->header.has_client, !GetParam().client.empty());
    if (!whole->header.has_client) continue;
    const net::Address& client = whole->header.client;
    const net::Address& server = whole->header.server;
    EXPECT_EQ(client.text() + " " + std::to_string(client.port()) + " " + server.text() + " " +
                  std::to_string(server.port()),
              GetParam().client);
  }
}
INSTANTIATE_TEST_SUITE_P(Proxy, GoodHeader, testing::ValuesIn(good()),
                         [](const auto& test) { return test.param.name; });

struct BadCase {
  std::string name, header;
};
class BadHeader : public testing::TestWithParam<BadCase> {};
TEST_P(BadHeader, IsRefused) {
  const auto parsed = parse_proxy_header(GetParam().header);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().kind(), ErrorKind::protocol);
}
INSTANTIATE_TEST_SUITE_P(Proxy, BadHeader,
                         testing::ValuesIn<BadCase>({
                             {"Smtp", "EHLO a.example\r\n"},
                             {"Tls", std::string("\x16\x03\x01\x02", 4)},
                             {"LowerCase", "proxy TCP4"},
                             {"OtherWord", "PROXIES"},
                             {"BareLf", "PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\n"},
                             {"EmptyLine", "PROXY \r\n"},
                             {"NoWordAtAll", "PROXY\r\n"},
                             {"UnknownFamily", "PROXY UDP4 192.0.2.1 198.51.100.1 4711 25\r\n"},
                             {"FourWords", "PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n"},
                             {"SixWords", "PROXY TCP4 192.0.2.1 198.51.100.1 4711 25 26\r\n"},
                             {"TwoBlanks", "PROXY TCP4  192.0.2.1 198.51.100.1 4711 25\r\n"},
                             {"BlankAtTheEnd", "PROXY TCP4 192.0.2.1 198.51.100.1 4711 25 \r\n"},
                             {"SixInFour", "PROXY TCP4 2001:db8::1 198.51.100.1 4711 25\r\n"},
                             {"FourInSix", "PROXY TCP6 192.0.2.1 198.51.100.1 4711 25\r\n"},
                             {"Name", "PROXY TCP4 localhost 198.51.100.1 4711 25\r\n"},
                             {"Brackets", "PROXY TCP6 [2001:db8::1] 2001:db8::2 4711 25\r\n"},
                             {"Nobody", "PROXY TCP4 0.0.0.0 198.51.100.1 4711 25\r\n"},
                             {"LargePort", "PROXY TCP4 192.0.2.1 198.51.100.1 65536 25\r\n"},
                             {"PortWithZero", "PROXY TCP4 192.0.2.1 198.51.100.1 04711 25\r\n"},
                             {"NegativePort", "PROXY TCP4 192.0.2.1 198.51.100.1 -1 25\r\n"},
                             {"ControlByte", "PROXY TCP4 192.0.2.1\n198.51.100.1 4711 25\r\n"},
                             {"LineWithoutEnd", "PROXY UNKNOWN " + std::string(93, 'x')},
                             {"WrongSignature", kSignature.substr(0, 11) + "x"},
                             {"OldVersion", kSignature + "\x11"},
                             {"NextVersion", kSignature + "\x31"},
                             {"WrongCommand", kSignature + "\x22"},
                             {"Udp", binary(0x21, 0x12, kFour)},
                             {"UnixSocket", binary(0x21, 0x31, std::string(216, '\0'))},
                             {"WrongFamily", binary(0x21, 0x41, kFour)},
                             {"TooShortForFour", binary(0x21, 0x11, kFour.substr(1))},
                             {"TooShortForSix", binary(0x21, 0x21, six().substr(1))},
                             {"Endless", kSignature + std::string("\x21\x11\xff\xff", 4)},
                             {"NobodyInBinary", binary(0x21, 0x11, std::string(12, '\0'))},
                             {"CutExtension",
                              binary(0x21, 0x11, kFour + std::string("\x04\x00", 2))},
                             {"ExtensionTooLong", binary(0x21, 0x11,
                                                         kFour + std::string("\x04\x00\x05"
                                                                             "abcd",
                                                                             7))},
                             {"WrongChecksum", with_checksum(1)},
                             {"ShortChecksum", binary(0x21, 0x11, kFour + extension(3, "abc"))},
                         }),
                         [](const auto& test) { return test.param.name; });

class ReadProxyHeader : public testing::Test {
 protected:
  ReadProxyHeader() {
    auto pair = net::socket_pair();
    ours = std::move(pair->first);
    theirs = std::move(pair->second);
  }
  void send(std::string_view bytes) {
    ASSERT_EQ(::send(theirs.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  std::string rest() {
    char buffer[100];
    const ssize_t n = ::recv(ours.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : "";
  }
  ev::RootTask read(Duration limit) {
    Result<ProxyHeader> got = co_await read_proxy_header(loop, ours.get(), loop.after(limit));
    result.emplace(std::move(got));
  }
  void begin(Duration limit = std::chrono::seconds(20)) {
    group.spawn(read(limit), "read");
    for (int i = 0; i < 5; ++i)
      loop.turn(false);
  }
  void finish() {
    while (!result)
      loop.turn(true);
  }
  ev::Loop loop;
  ev::Group group{loop};
  Fd ours, theirs;
  std::optional<Result<ProxyHeader>> result;
};

TEST_F(ReadProxyHeader, TakesNothingBehindIt) {
  for (const GoodCase& one : good()) {
    result.reset();
    send(one.header + "behind");
    begin();
    finish();
    EXPECT_TRUE(result->ok()) << one.name;
    EXPECT_EQ(rest(), "behind") << one.name;
  }
}

TEST_F(ReadProxyHeader, MayComeByteByByte) {
  for (const GoodCase& one : good()) {
    result.reset();
    begin();
    for (const char byte : one.header) {
      EXPECT_FALSE(result) << one.name;
      send(std::string_view(&byte, 1));
      for (int i = 0; i < 3; ++i)
        loop.turn(false);
    }
    finish();
    EXPECT_TRUE(result->ok()) << one.name;
    EXPECT_EQ(rest(), "") << one.name;
  }
}

TEST_F(ReadProxyHeader, CutAnywhereIsAnError) {
  for (const GoodCase& one : good())
    for (std::size_t i = 0; i < one.header.size(); ++i) {
      auto pair = net::socket_pair();
      ours = std::move(pair->first);
      theirs = std::move(pair->second);
      result.reset();
      if (i > 0) send(one.header.substr(0, i));
      theirs.reset();
      begin();
      finish();
      ASSERT_FALSE(result->ok()) << one.name << " " << i;
      EXPECT_EQ(result->error().kind(), ErrorKind::closed);
    }
}

TEST_F(ReadProxyHeader, SilenceEndsAtTheDeadline) {
  send("PROXY TC");
  begin(std::chrono::milliseconds(10));
  finish();
  ASSERT_FALSE(result->ok());
  EXPECT_EQ(result->error().text(), "no PROXY header in time");
}

} // namespace
} // namespace postrider::smtpd

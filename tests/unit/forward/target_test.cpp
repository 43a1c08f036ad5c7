// SPDX-License-Identifier: MIT
#include "forward/target.hpp"

#include <gtest/gtest.h>

namespace postrider::forward {
namespace {

using Hop = smtpclient::Nexthop::Kind;

KindOptions options() {
  KindOptions all;
  all[index_of(Kind::smtp)].default_port = 25;
  all[index_of(Kind::smtps)].default_port = 465;
  all[index_of(Kind::lmtp)].default_port = 24;
  all[index_of(Kind::lmtp)].flavor = smtpclient::Flavor::lmtp;
  return all;
}

struct TargetCase {
  std::string name, text;
  Kind kind = Kind::smtp;
  Hop hop = Hop::host;
  std::string host; // empty: not a target
  std::uint16_t port = 0;
};
class ATarget : public testing::TestWithParam<TargetCase> {};
TEST_P(ATarget, IsWrittenIn) {
  const TargetCase& c = GetParam();
  const auto parsed = parse_targets(c.text, options());
  ASSERT_EQ(parsed.ok(), !c.host.empty());
  if (!parsed) return;
  ASSERT_EQ(parsed->size(), 1U);
  EXPECT_EQ(parsed->front().kind, c.kind);
  EXPECT_EQ(parsed->front().hop.kind, c.hop);
  EXPECT_EQ(parsed->front().hop.name, c.host);
  EXPECT_EQ(parsed->front().hop.port, c.port);
  EXPECT_EQ(parsed->front().text, c.text);
}
INSTANTIATE_TEST_SUITE_P(
    Forms, ATarget,
    testing::ValuesIn<TargetCase>({
        {"Smtp", "smtp:next.example", Kind::smtp, Hop::host, "next.example", 25},
        {"SmtpPort", "smtp:next.example:2525", Kind::smtp, Hop::host, "next.example", 2525},
        {"SmtpAddress", "smtp:[192.0.2.1]:26", Kind::smtp, Hop::host, "192.0.2.1", 26},
        {"SmtpUnix", "smtp:unix:/run/x", Kind::smtp, Hop::unix_socket, "/run/x", 0},
        {"Lmtp", "lmtp:store.example", Kind::lmtp, Hop::host, "store.example", 24},
        {"LmtpInet", "lmtp:inet:store.example:240", Kind::lmtp, Hop::host, "store.example", 240},
        {"LmtpUnix", "lmtp:unix:/run/lmtp", Kind::lmtp, Hop::unix_socket, "/run/lmtp", 0},
        {"LmtpTcp", "lmtp:tcp://127.0.0.1:24", Kind::lmtp, Hop::host, "127.0.0.1", 24},
        {"Tcp", "tcp://127.0.0.1:2525", Kind::smtp, Hop::host, "127.0.0.1", 2525},
        {"TcpSix", "tcp://[::1]:2525", Kind::smtp, Hop::host, "::1", 2525},
        {"Tls", "tls://next.example", Kind::smtps, Hop::host, "next.example", 465},
        {"Unix", "unix:///run/lmtp", Kind::lmtp, Hop::unix_socket, "/run/lmtp", 0},
        {"SmtpOverUnix", "smtp:unix:///run/smtp", Kind::smtp, Hop::unix_socket, "/run/smtp", 0},
        {"NoScheme", "next.example:25"},
        {"OtherScheme", "http://next.example"},
        {"NoPath", "unix://"},
        {"NoHost", "tcp://"},
        {"NoPort", "tcp://next.example:x"},
        {"LmtpTls", "lmtp:tls://next.example"},
        {"Nothing", " , "},
    }),
    [](const auto& row) { return row.param.name; });

TEST(Targets, StandInARow) {
  const auto parsed = parse_targets("tcp://a.example:1, lmtp:unix:/b\tsmtp:c.example", options());
  ASSERT_TRUE(parsed.ok());
  ASSERT_EQ(parsed->size(), 3U);
  EXPECT_EQ((*parsed)[1].kind, Kind::lmtp);
  EXPECT_EQ((*parsed)[2].hop.name, "c.example");
}

TEST(Targets, OneThatIsWrongIsNamed) {
  const auto parsed = parse_targets("tcp://a.example:1, nonsense", options());
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.error().text().find("nonsense"), std::string::npos);
}

} // namespace
} // namespace postrider::forward

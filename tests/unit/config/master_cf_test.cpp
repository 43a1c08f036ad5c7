// SPDX-License-Identifier: MIT
#include "config/master_cf.hpp"

#include <gtest/gtest.h>

namespace postrider::config {
namespace {

TEST(MasterCf, ReadsServices) {
  const MasterCf cf = parse_master_cf(
      "# service type private unpriv chroot wakeup maxproc command\n"
      "smtp      inet  n  -  y  -   -  smtpd\n"
      "[::1]:2525 inet n  -  n  -   5  smtpd\n"
      "  -o smtpd_banner=hello -o { mynetworks = 127.0.0.0/8, [::1]/128 }\n"
      "  # a comment inside\n"
      "  -v {two words}\n"
      "127.0.0.1:submission inet n n - - 0 smtpd -osyslog_name=postrider/submission\n"
      "qmgr      unix  n  n  n  300?  1  qmgr\n"
      "relay     unix  -  -  n  -   -  smtp\n");
  ASSERT_TRUE(cf.errors.empty()) << cf.errors[0];
  ASSERT_EQ(cf.services.size(), 5u);
  const ServiceEntry& smtp = cf.services[0];
  EXPECT_EQ(smtp.type, ServiceType::inet);
  EXPECT_EQ(smtp.listen, (ListenPoint{"", "smtp"}));
  EXPECT_FALSE(smtp.is_private);
  EXPECT_TRUE(smtp.unprivileged);
  EXPECT_TRUE(smtp.chroot);
  EXPECT_EQ(smtp.limit, std::nullopt);
  EXPECT_EQ(smtp.wakeup.count(), 0);
  EXPECT_EQ(smtp.line, 2u);

  const ServiceEntry& local = cf.services[1];
  EXPECT_EQ(local.listen, (ListenPoint{"::1", "2525"}));
  EXPECT_EQ(local.limit, 5u);
  ASSERT_EQ(local.overrides.size(), 2u);
  EXPECT_EQ(local.overrides[0], (std::pair<std::string, std::string>("smtpd_banner", "hello")));
  EXPECT_EQ(local.overrides[1].first, "mynetworks");
  EXPECT_EQ(local.overrides[1].second, "127.0.0.0/8, [::1]/128");
  EXPECT_EQ(local.arguments, (std::vector<std::string>{"-v", "two words"}));

  EXPECT_EQ(cf.services[2].listen, (ListenPoint{"127.0.0.1", "submission"}));
  EXPECT_FALSE(cf.services[2].unprivileged);
  EXPECT_EQ(cf.services[2].limit, 0u);
  EXPECT_EQ(cf.services[2].overrides.at(0).second, "postrider/submission");

  EXPECT_EQ(cf.services[3].wakeup.count(), 300);
  EXPECT_TRUE(cf.services[3].wakeup_only_if_used);
  EXPECT_EQ(cf.services[3].socket_path(), "public/qmgr");
  EXPECT_EQ(cf.services[4].socket_path(), "private/relay");
}

struct BadCase {
  const char* name;
  std::string line;
  const char* what;
};
class BadService : public testing::TestWithParam<BadCase> {};
TEST_P(BadService, IsRefusedAndOthersStay) {
  const MasterCf cf = parse_master_cf("bounce unix - - n - 1 bounce\n" + GetParam().line +
                                      "\nlmtp unix - - n - - lmtp\n");
  ASSERT_EQ(cf.errors.size(), 1u);
  EXPECT_EQ(cf.errors[0].rfind("master.cf:2: ", 0), 0u) << cf.errors[0];
  EXPECT_NE(cf.errors[0].find(GetParam().what), std::string::npos) << cf.errors[0];
  EXPECT_LT(cf.errors[0].size(), 400u);
  EXPECT_EQ(cf.services.size(), 2u);
}
INSTANTIATE_TEST_SUITE_P(Lines, BadService,
                         testing::ValuesIn<BadCase>({
                             {"TooShort", "smtp unix - - n - -", "7 columns"},
                             {"UnknownType", "x tcp - - n - - smtp", "inet or unix"},
                             {"OldType", "x fifo n - n - - pickup", "remove the line"},
                             {"BadFlag", "x unix maybe - n - - smtp", "private"},
                             {"PrivateInet", "25 inet y - n - - smtpd", "use n"},
                             {"NegativeLimit", "x unix - - n - -1 smtp", "limit"},
                             {"HugeLimit", "x unix - - n - 9223372036854775808 smtp", "limit"},
                             {"BadWakeup", "x unix - - n 5s - smtp", "wakeup"},
                             {"PathCommand", "x unix - - n - - /bin/sh", "without a path"},
                             {"DotCommand", "x unix - - n - - ..", "without a path"},
                             {"EscapingSocket", "../x unix - - n - - smtp", "name of a socket"},
                             {"BadPort", "127.0.0.1:70000 inet n - n - - smtpd", "not a port"},
                             {"PortZero", "0 inet n - n - - smtpd", "not a port"},
                             {"BareIpv6", "::1:25 inet n - n - - smtpd", "[ ]"},
                             {"NoPort", "[::1] inet n - n - - smtpd", "port"},
                             {"OpenBrace", "x unix - - n - - smtp -o { a = b", "'}'"},
                             {"LoneOption", "x unix - - n - - smtp -o", "-o at the end"},
                             {"BadOption", "x unix - - n - - smtp -o a-b=c", "-o"},
                             {"Twice", "bounce unix - - n - 1 bounce", "line 1 already"},
                             {"Megabyte", std::string(1'000'000, 'x'), "columns"},
                         }),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(MasterCf, MegabyteOfArgumentsIsRead) {
  std::string text = "x unix - - n - - smtp";
  for (int i = 0; i < 100'000; ++i)
    text += "\n -o a=" + std::to_string(i);
  EXPECT_EQ(parse_master_cf(text).services.at(0).overrides.size(), 100'000u);
  EXPECT_EQ(parse_master_cf("x unix - - n - - smtp " + std::string(1'000'000, '{')).errors.size(),
            1u);
}

} // namespace
} // namespace postrider::config

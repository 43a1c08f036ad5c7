// SPDX-License-Identifier: MIT
#include "dns/self_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fake_dns.hpp"
#include "support/run_task.hpp"

namespace postrider::dns {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class DnssecSelfTest : public testing::Test {
 protected:
  std::string trouble(const std::vector<std::string>& anchors) {
    return test::run_task<std::string>(
        loop_, [&] { return find_dnssec_trouble(dns_, anchors, ev::Deadline::never()); });
  }
  ev::Loop loop_;
  // The fake knows no SOA records; an alias is a signed answer as well.
  test::FakeDns dns_{loop_, R"(
signed.example  CNAME a.example SECURE
a.example       A 192.0.2.1
bare.example    A 192.0.2.1
liar.example    BOGUS
dead.example    TEMPORARY SERVFAIL
)"};
};

TEST_F(DnssecSelfTest, AsksForTheZonesOfTheAnchors) {
  EXPECT_EQ(trouble({"SIGNED.example. IN DS 1 13 2 abcd"}), "");
  EXPECT_THAT(dns_.asked(), ElementsAre("SOA signed.example"));
}

TEST_F(DnssecSelfTest, SaysWhatIsWrong) {
  EXPECT_THAT(trouble({}), HasSubstr("dns_trust_anchor_file"));
  EXPECT_THAT(trouble({"liar.example. IN DS 1 13 2 abcd"}),
              AllOf(HasSubstr("DNSSEC validation failed"), HasSubstr("the zone liar.example"),
                    HasSubstr("dns_resolvers")));
  EXPECT_THAT(trouble({"signed.example. IN DS 1", "dead.example. IN DS 1"}),
              AllOf(HasSubstr("do not answer for the zone dead.example"), HasSubstr("SERVFAIL")));
  EXPECT_THAT(trouble({"bare.example. IN DS 1"}), HasSubstr("are not signed"));
  EXPECT_THAT(trouble({". IN DS 1"}), HasSubstr("the root zone"));
}

} // namespace
} // namespace postrider::dns

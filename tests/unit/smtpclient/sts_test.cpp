// SPDX-License-Identifier: MIT
#include "smtpclient/sts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider::smtpclient {
namespace {

using mail::StsMode;

struct DemandCase {
  std::string_view name;
  bool present;
  StsMode mode;
  bool only_named;
  std::string_view host;
  StsDemand demand;
};
class StsDemands : public testing::TestWithParam<DemandCase> {};
TEST_P(StsDemands, FollowModeAndPatterns) {
  proto::Policy policy;
  policy.present = GetParam().present;
  policy.mode = GetParam().mode;
  policy.mx = {"mx.example.com", "*.example.net"};
  EXPECT_EQ(decide_sts(policy, GetParam().only_named, GetParam().host), GetParam().demand);
}
INSTANTIATE_TEST_SUITE_P(
    Rfc8461, StsDemands,
    testing::ValuesIn<DemandCase>({
        {"NoPolicy", false, StsMode::enforce, true, "mx.example.com", StsDemand::nothing},
        {"None", true, StsMode::none, true, "other.example", StsDemand::nothing},
        {"Testing", true, StsMode::testing, true, "other.example", StsDemand::watch},
        {"Enforce", true, StsMode::enforce, true, "mx.example.com", StsDemand::prove},
        {"EnforceWildcard", true, StsMode::enforce, true, "a.example.net", StsDemand::prove},
        {"EnforceOther", true, StsMode::enforce, true, "other.example", StsDemand::leave_out},
        {"EnforceBeforeTheHostIsKnown", true, StsMode::enforce, true, "", StsDemand::prove},
        {"EnforceOtherAllowed", true, StsMode::enforce, false, "other.example", StsDemand::prove},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(StsEntry, TheHostsNameOrOneOfThePolicy) {
  proto::Policy policy;
  policy.mx = {"mx.example.com", "*.example.net"};
  EXPECT_THAT(sts_entry(policy, true).match, testing::ElementsAre("hostname"));
  EXPECT_EQ(sts_entry(policy, true).server_name, "hostname");
  EXPECT_THAT(sts_entry(policy, false).match,
              testing::ElementsAre("mx.example.com", "*.example.net"));
  const PolicyEntry entry = sts_entry(policy, true);
  const auto made = make_policy(TlsOptions(), TlsLevel::sts, &entry);
  ASSERT_TRUE(made.ok());
  const ServerNames names{"example.com", "mx.example.com"};
  const tls::Expectation expected = expectation_of(*made, TlsOptions(), names);
  EXPECT_EQ(expected.proof, tls::Expectation::Proof::names);
  EXPECT_THAT(expected.names, testing::ElementsAre("mx.example.com"));
  EXPECT_EQ(server_name_of(*made, names), "mx.example.com");
}

struct MayCase {
  std::string_view name, hop;
  TlsLevel level;
  bool enabled, may;
};
class StsMay : public testing::TestWithParam<MayCase> {};
TEST_P(StsMay, HaveASay) {
  Options options;
  options.tls.sts = GetParam().enabled;
  const auto hops = parse_nexthops(GetParam().hop, options);
  ASSERT_TRUE(hops.ok());
  EXPECT_EQ(may_have_sts(options, hops->front(), GetParam().level), GetParam().may);
}
INSTANTIATE_TEST_SUITE_P(Destinations, StsMay,
                         testing::ValuesIn<MayCase>({
                             {"Domain", "example.com", TlsLevel::may, true, true},
                             {"Disabled", "example.com", TlsLevel::may, false, false},
                             {"Host", "[mx.example.com]", TlsLevel::may, true, false},
                             {"Address", "[192.0.2.1]", TlsLevel::may, true, false},
                             {"Stricter", "example.com", TlsLevel::secure, true, false},
                             {"DaneApplies", "example.com", TlsLevel::dane, true, false},
                             {"NoTls", "example.com", TlsLevel::none, true, false},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

} // namespace
} // namespace postrider::smtpclient

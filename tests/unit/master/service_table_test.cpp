// SPDX-License-Identifier: MIT
// shows: inet_interfaces inet_protocols
#include "service_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider::master {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

config::Settings settings_of(std::string_view main_cf) {
  config::Findings findings;
  config::Machine machine;
  machine.hostname = "host.example";
  machine.addresses = {"192.0.2.1"};
  auto settings = config::Settings::parse(
      main_cf, {.config_directory = "/nowhere", .overrides = {}, .process_name = "master"}, {},
      machine, findings);
  EXPECT_THAT(findings.errors, IsEmpty());
  return std::move(settings).value();
}

Plan plan_of(std::string_view master_cf, std::string_view main_cf = "",
             const Host& host = {.cores = 4, .root = false}) {
  return make_plan(config::parse_master_cf(master_cf), settings_of(main_cf), host);
}

std::vector<std::string> places(const ServicePlan& plan) {
  std::vector<std::string> out;
  for (const ListenAt& at : plan.listen)
    out.push_back(at.address.text() +
                  (at.address.is_ip() ? " " + std::to_string(at.address.port()) : ""));
  return out;
}

struct ListenCase {
  std::string name, service, main_cf;
  std::vector<std::string> places;
};
class ListenPlaces : public testing::TestWithParam<ListenCase> {};
TEST_P(ListenPlaces, FollowNameAndInterfaces) {
  const Plan plan = plan_of(GetParam().service, GetParam().main_cf);
  ASSERT_THAT(plan.errors, IsEmpty());
  ASSERT_EQ(plan.services.size(), 1u);
  EXPECT_EQ(places(plan.services[0]), GetParam().places);
}
INSTANTIATE_TEST_SUITE_P(
    Table, ListenPlaces,
    testing::ValuesIn<ListenCase>({
        {"Everywhere", "smtp inet n - n - - smtpd", "", {"0.0.0.0 25", ":: 25"}},
        {"OneProtocol", "smtp inet n - n - - smtpd", "inet_protocols = ipv4\n", {"0.0.0.0 25"}},
        {"OtherProtocol", "2525 inet n - n - - smtpd", "inet_protocols = ipv6\n", {":: 2525"}},
        {"Loopback",
         "2525 inet n - n - - smtpd",
         "inet_interfaces = loopback-only\n",
         {"127.0.0.1 2525", "::1 2525"}},
        {"Listed",
         "2525 inet n - n - - smtpd",
         "inet_interfaces = 127.0.0.1, 127.0.0.2, 127.0.0.1\n",
         {"127.0.0.1 2525", "127.0.0.2 2525"}},
        {"OwnHost",
         "127.0.0.3:2525 inet n - n - - smtpd",
         "inet_interfaces = all\n",
         {"127.0.0.3 2525"}},
        {"OwnIpv6Host", "[::1]:2525 inet n - n - - smtpd", "", {"::1 2525"}},
        {"KnownPort", "127.0.0.1:submissions inet n - n - - smtpd", "", {"127.0.0.1 465"}},
        {"Private", "smtp unix - - n - - smtp", "", {"private/smtp"}},
        {"Public", "qmgr unix n - n 300 1 qmgr", "", {"public/qmgr"}},
    }),
    [](const auto& row) { return row.param.name; });

TEST(ServiceTable, LimitsAndResidents) {
  const Plan plan = plan_of("smtp inet n - n - - smtpd\n"
                            "smtp unix - - n - - smtp\n"
                            "bounce unix - - n - - bounce\n"
                            "qmgr unix n - n 300 1 qmgr\n"
                            "other unix n - n - 1 qmgr\n"
                            "lazy unix n - n 300? 1 scache\n"
                            "eager unix n - n 300 1 scache\n"
                            "several unix n - n 300 2 scache\n"
                            "three unix - - n - 3 smtp\n"
                            "single unix - - n - 1 smtp\n"
                            "any unix - - n - 0 smtp\n");
  ASSERT_THAT(plan.errors, IsEmpty());
  std::vector<unsigned> limits;
  std::string residents;
  std::string exclusives;
  for (const ServicePlan& service : plan.services) {
    limits.push_back(service.limit);
    if (service.resident) residents += service.entry.name + " ";
    if (service.exclusive) exclusives += service.entry.name + " ";
  }
  EXPECT_THAT(limits, ElementsAre(4, 4, 1, 1, 1, 1, 1, 2, 3, 1, 10'000));
  EXPECT_EQ(residents, "qmgr other eager ");
  EXPECT_EQ(exclusives, "qmgr other lazy eager ");
}

TEST(ServiceTable, CommandLineOfAChild) {
  const std::string line = "relay unix - n y - - smtp -o smtp_helo_timeout=5s -v\n"
                           "smtp unix - - n - - smtp -o { myhostname = a b }\n";
  const Plan plain = plan_of(line);
  EXPECT_THAT(plain.services[0].arguments,
              ElementsAre("smtp", "-n", "relay", "-t", "unix", "-o", "smtp_helo_timeout=5s", "-v"));
  const Plan root = plan_of(line, "", {.cores = 1, .root = true});
  EXPECT_THAT(root.services[0].arguments, ElementsAre("smtp", "-n", "relay", "-t", "unix", "-j",
                                                      "-o", "smtp_helo_timeout=5s", "-v"));
  EXPECT_THAT(root.services[1].arguments,
              ElementsAre("smtp", "-n", "smtp", "-t", "unix", "-u", "-o", "myhostname=a b"));
}

TEST(ServiceTable, DisabledServicesAreLeftOut) {
  const Plan plan = plan_of("smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\n",
                            "master_service_disable = inet\n");
  ASSERT_EQ(plan.services.size(), 1u);
  EXPECT_EQ(plan.services[0].key, "smtp/unix");
}

struct BadCase {
  std::string name, master_cf, message;
};
class BadTable : public testing::TestWithParam<BadCase> {};
TEST_P(BadTable, NamesTheLine) {
  const Plan plan = plan_of(GetParam().master_cf);
  EXPECT_THAT(plan.errors, Contains(HasSubstr(GetParam().message)));
}
INSTANTIATE_TEST_SUITE_P(
    Table, BadTable,
    testing::ValuesIn<BadCase>({
        {"UnknownPort", "nosuchport inet n - n - - smtpd\n",
         "master.cf:1: no port is called nosuchport"},
        {"SameAddress",
         "# one\n127.0.0.1:25 inet n - n - - smtpd\n127.0.0.1:smtp inet n - n - - smtpd\n",
         "master.cf:3: listens on the same address as line 2"},
        {"TooFewColumns", "smtp inet n\n", "master.cf:1: "},
        {"Empty", "# nothing\n", "no service"},
    }),
    [](const auto& row) { return row.param.name; });

TEST(ServiceTable, MissingProgramIsAWarning) {
  const Plan plan = plan_of("smtp unix - - n - - nosuchprogram\n");
  EXPECT_THAT(plan.errors, IsEmpty());
  EXPECT_THAT(plan.warnings, Contains(HasSubstr("master.cf:1: there is no program")));
}

} // namespace
} // namespace postrider::master

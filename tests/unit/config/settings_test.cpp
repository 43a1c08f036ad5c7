// SPDX-License-Identifier: MIT
// shows: config_directory
#include "config/settings.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "config/master_cf.hpp"

namespace postrider::config {
namespace {

using std::chrono::milliseconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const Machine kMachine{.hostname = "mx.example.com",
                       .addresses = {"127.0.0.1", "192.0.2.7", "::1"}};

struct Loaded {
  Findings findings;
  std::optional<Settings> settings;
};

Loaded load(std::string_view text, const std::vector<Override>& overrides = {},
            const std::vector<std::string>& transports = {"smtp", "relay", "slow"},
            const Machine& machine = kMachine) {
  Loaded loaded;
  const Source source{.config_directory = "/etc/postrider", .overrides = overrides};
  auto result = Settings::parse(text, source, transports, machine, loaded.findings);
  if (result.ok()) loaded.settings = *std::move(result);
  return loaded;
}

TEST(Settings, EveryDefaultIsGood) {
  const Loaded loaded = load("");
  EXPECT_THAT(loaded.findings.errors, IsEmpty());
  EXPECT_THAT(loaded.findings.warnings, IsEmpty());
  ASSERT_TRUE(loaded.settings);
  const Settings& s = *loaded.settings;
  EXPECT_EQ(s.text("myhostname"), "mx.example.com");
  EXPECT_EQ(s.text("mydomain"), "example.com");
  EXPECT_EQ(s.text("myorigin"), "mx.example.com");
  EXPECT_THAT(s.words("mydestination"),
              ElementsAre("mx.example.com", "localhost.example.com", "localhost"));
  EXPECT_EQ(s.list("mynetworks"), "127.0.0.1/32, 192.0.2.7/32, [::1]/128");
  EXPECT_EQ(s.text("smtpd_banner"), "mx.example.com ESMTP Postrider");
  EXPECT_EQ(s.time("smtpd_timeout"), milliseconds(300'000));
  EXPECT_EQ(s.time("ledger_sync_window"), milliseconds(50));
  EXPECT_EQ(s.size("journal_segment_size"), 32u << 20);
  EXPECT_EQ(s.number("smtpd_hard_error_limit"), 20);
  EXPECT_TRUE(s.flag("smtp_skip_5xx_greeting"));
  EXPECT_EQ(s.text("config_directory"), "/etc/postrider");
  EXPECT_EQ(s.text("syslog_name"), "postrider");
}

TEST(Settings, HostWithoutDomain) {
  const Machine bare{.hostname = "box", .addresses = {}};
  EXPECT_EQ(load("", {}, {}, bare).settings->text("myhostname"), "box.localdomain");
  EXPECT_EQ(load("", {}, {}, bare).settings->text("mydomain"), "localdomain");
  EXPECT_EQ(load("mydomain = here.test", {}, {}, bare).settings->text("myhostname"),
            "box.here.test");
  EXPECT_EQ(load("myhostname = a.b.test", {}, {}, bare).settings->text("mydomain"), "b.test");
}

TEST(Settings, HostNameMadeOfTheDomainThatIsMadeOfIt) {
  const Loaded loaded = load("myhostname = mx.$mydomain\n");
  EXPECT_FALSE(loaded.settings);
  EXPECT_THAT(loaded.findings.errors,
              Contains(HasSubstr("main.cf:1: myhostname = mx.$mydomain: refers to itself: mydomain "
                                 "-> myhostname -> mydomain")));
  EXPECT_TRUE(load("mydomain = a.example\nmyhostname = mx.$mydomain\n").settings);
}

TEST(Settings, LaterSourcesWin) {
  const Loaded loaded = load("smtp_helo_timeout = 10s\n", {{"smtp_helo_timeout", "20s"}});
  EXPECT_EQ(loaded.settings->time("smtp_helo_timeout"), milliseconds(20'000));
  EXPECT_EQ(loaded.settings->find("smtp_helo_timeout")->origin.kind, Origin::Kind::override_);
  const Loaded plain = load("\nsmtp_helo_timeout = 10s\n");
  EXPECT_EQ(plain.settings->find("smtp_helo_timeout")->origin.line, 2u);
}

TEST(Settings, ClientMirrors) {
  const Loaded loaded = load("smtp_mail_timeout = 7s\nlmtp_lhlo_timeout = 9s\n");
  const Settings& s = *loaded.settings;
  EXPECT_EQ(s.client("smtp").time("mail_timeout"), milliseconds(7'000));
  EXPECT_EQ(s.client("lmtp").time("mail_timeout"), milliseconds(300'000));
  EXPECT_EQ(s.client("smtp").time("helo_timeout"), milliseconds(300'000));
  EXPECT_EQ(s.client("lmtp").time("helo_timeout"), milliseconds(9'000));
  EXPECT_EQ(s.client("lmtp").text("helo_name"), "mx.example.com");
  EXPECT_THAT(s.client("lmtp").words("discard_ehlo_keywords"), IsEmpty());
  EXPECT_EQ(s.client("lmtp").time("connect_timeout"), milliseconds(0));
  EXPECT_FALSE(s.client("lmtp").flag("skip_quit_response"));
}

TEST(Settings, EveryClientParameterHasItsMirror) {
  for (const Parameter& p : kParameters) {
    if (!p.name.starts_with("smtp_") || p.status != Status::live) continue;
    const std::string_view suffix = p.name.substr(5);
    // These make sense for one of the protocols only.
    if (suffix == "always_send_ehlo" || suffix == "never_send_ehlo" ||
        suffix == "defer_if_no_mx_address_found" || suffix == "tls_mta_sts_enable" ||
        suffix == "tls_enforce_sts_mx_patterns")
      continue;
    std::string mirror = "lmtp_" + std::string(suffix);
    if (const auto at = mirror.find("helo"); at != std::string::npos) mirror.replace(at, 4, "lhlo");
    if (const auto at = mirror.find("ehlo"); at != std::string::npos) mirror.replace(at, 4, "lhlo");
    const Parameter* found = find_parameter(mirror);
    ASSERT_NE(found, nullptr) << mirror;
    EXPECT_EQ(found->type, p.type) << mirror;
  }
}

TEST(Settings, PerTransportFallsBack) {
  const Loaded loaded =
      load("default_destination_concurrency_limit = 30\n"
           "slow_destination_concurrency_limit = 2\n"
           "slow_destination_rate_delay = 3m\n"
           "smtp_destination_recipient_limit = $slow_destination_concurrency_limit\n");
  EXPECT_THAT(loaded.findings.warnings, IsEmpty());
  const Settings& s = *loaded.settings;
  EXPECT_EQ(s.per_transport("slow", "destination_concurrency_limit"), 2);
  EXPECT_EQ(s.per_transport("relay", "destination_concurrency_limit"), 30);
  EXPECT_EQ(s.per_transport("slow", "destination_rate_delay"), 180'000);
  EXPECT_EQ(s.per_transport("smtp", "destination_recipient_limit"), 2);
  EXPECT_EQ(s.per_transport_text("smtp", "destination_concurrency_positive_feedback"), "1");
  EXPECT_EQ(s.per_transport("smtp", "initial_destination_concurrency"), 5);
}

TEST(Settings, TransportValuesAreCheckedAsTheirDefaults) {
  const Loaded loaded = load("slow_destination_rate_delay = soon\n");
  ASSERT_EQ(loaded.findings.errors.size(), 1u);
  EXPECT_THAT(loaded.findings.errors[0],
              HasSubstr("main.cf:1: slow_destination_rate_delay = soon"));
  // No such transport in master.cf: an unknown name.
  EXPECT_THAT(load("sloow_destination_rate_delay = 1s\n").findings.warnings,
              Contains(HasSubstr("no such parameter")));
}

TEST(Settings, AllBadValuesAreReported) {
  const Loaded loaded = load("smtp_connect_timeout = 3x\n"
                             "smtp_always_send_ehlo = maybe\n"
                             "message_size_limit = 9223372036854775808\n"
                             "qmgr_message_active_limit = 0\n"
                             "log_format = xml\n"
                             "delay_logging_resolution_limit = 7\n"
                             "maximal_queue_lifetime = 9223372036854775807s\n"
                             "relayhost = $relayhost\n"
                             "mynetworks = {127.0.0.0/8\n"
                             "smtp_mx_address_limit = -1\n"
                             "content_filter = scan:[127.0.0.1]:10025\n"
                             "process_id = 3\n");
  EXPECT_FALSE(loaded.settings);
  EXPECT_EQ(loaded.findings.errors.size(), 12u);
  for (const char* part :
       {"main.cf:1: smtp_connect_timeout = 3x: is not a time", "main.cf:2: ", "main.cf:3: ",
        "main.cf:4: qmgr_message_active_limit = 0: is too small; use at least 100",
        "main.cf:5: log_format = xml: must be one of: text, json", "main.cf:6: ", "main.cf:7: ",
        "main.cf:8: relayhost = $relayhost: refers to itself: relayhost -> relayhost",
        "main.cf:9: ", "main.cf:10: ",
        "main.cf:11: content_filter = scan:[127.0.0.1]:10025: this version",
        "main.cf:12: process_id"})
    EXPECT_THAT(loaded.findings.errors, Contains(HasSubstr(part)));
}

// shows: mynetworks_style
TEST(Settings, OtherNetworksThanThisHostAreNotTrusted) {
  const Loaded loaded = load("mynetworks_style = subnet\n");
  EXPECT_THAT(loaded.findings.warnings, Contains(HasSubstr("mynetworks_style")));
  ASSERT_TRUE(loaded.settings);
  EXPECT_EQ(loaded.settings->list("mynetworks"), "127.0.0.1/32, 192.0.2.7/32, [::1]/128");
}

TEST(Settings, ClassesOfNoticesThatNobodyWritesAreSaid) {
  EXPECT_THAT(load("").findings.warnings, IsEmpty());
  EXPECT_THAT(load("notify_classes = bounce, 2bounce, data, delay, protocol\n").findings.warnings,
              IsEmpty());
  const Loaded loaded = load("notify_classes = bounce, resource, software\n");
  EXPECT_THAT(loaded.findings.errors, IsEmpty());
  EXPECT_THAT(loaded.findings.warnings,
              ElementsAre(HasSubstr("main.cf:1: notify_classes = bounce, resource, software: "
                                    "\"resource\" has no effect"),
                          HasSubstr("\"software\" has no effect")));
  EXPECT_THAT(load("notify_classes = bonce\n").findings.errors,
              ElementsAre(HasSubstr("\"bonce\" is no class of notices")));
}

TEST(Settings, ErrorsShowExpandedValue) {
  const Loaded loaded = load("limit = 5x\nsmtp_quit_timeout = $limit\n");
  EXPECT_THAT(
      loaded.findings.errors,
      ElementsAre(HasSubstr("main.cf:2: smtp_quit_timeout = $limit: \"5x\" is not a time")));
}

TEST(Settings, UnknownNameGetsTheNearest) {
  const Loaded loaded =
      load("smtp_conect_timeout = 30s\nwholly_different_thing = 1\nmy_net = 10.0.0.0/8\n"
           "mynetworks = $my_net\n");
  EXPECT_THAT(loaded.findings.warnings,
              ElementsAre(HasSubstr("did you mean smtp_connect_timeout?"),
                          testing::AllOf(HasSubstr("wholly_different_thing = 1: no such parameter"),
                                         testing::Not(HasSubstr("did you mean")))));
  EXPECT_EQ(loaded.settings->list("mynetworks"), "10.0.0.0/8");
  EXPECT_EQ(loaded.settings->find("my_net")->text, "10.0.0.0/8");
}

TEST(Settings, OldAndMissingNames) {
  const Loaded loaded =
      load("fallback_relay = [backup.test]\nbiff = no\nalias_maps = hash:/etc/aliases\n"
           "smtp_tls_security_level = may\n");
  ASSERT_TRUE(loaded.settings);
  EXPECT_EQ(loaded.findings.warnings.size(), 3u);
  EXPECT_EQ(loaded.settings->list("smtp_fallback_relay"), "[backup.test]");
  const Loaded both = load("smtp_fallback_relay = [new.test]\nfallback_relay = [old.test]\n");
  EXPECT_EQ(both.settings->list("smtp_fallback_relay"), "[new.test]");
}

TEST(Settings, ValuesThatDoNotFitEachOther) {
  EXPECT_THAT(load("minimal_backoff_time = 2h\n").findings.errors,
              ElementsAre(HasSubstr("maximal_backoff_time")));
  EXPECT_THAT(load("large_message_threshold = 16m\njournal_segment_size = 16m\n").findings.errors,
              ElementsAre(HasSubstr("large_message_threshold")));
  EXPECT_THAT(load("queue_directory = spool\n").findings.errors,
              ElementsAre(HasSubstr("absolute")));
  EXPECT_THAT(load("myhostname = a b\n").findings.errors, ElementsAre(HasSubstr("myhostname")));
}

TEST(Settings, StressIsSeenByDefaults) {
  EXPECT_EQ(load("stress = yes\n").settings->time("smtpd_timeout"), milliseconds(10'000));
}

TEST(Settings, AllIsSortedAndComplete) {
  const Loaded loaded = load("my_own = 1\nbiff = no\n");
  const auto rows = loaded.settings->all();
  EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));
  const auto has = [&](std::string_view name) {
    return std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return row.name == name; });
  };
  EXPECT_TRUE(has("my_own"));
  EXPECT_TRUE(has("biff"));
  EXPECT_TRUE(has("relayhost"));
  EXPECT_FALSE(has("alias_maps"));
}

TEST(Parameters, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const Parameter& p : kParameters)
    EXPECT_TRUE(names.insert(p.name).second) << p.name;
}

TEST(Parameters, LiveOnesAreDescribed) {
  for (const Parameter& p : kParameters) {
    if (p.status != Status::live) continue;
    EXPECT_GT(p.about.size(), 10u) << p.name;
    EXPECT_FALSE(p.owners.empty()) << p.name;
  }
}

std::string read_sample(const std::string& name) {
  const std::filesystem::path here(__FILE__);
  std::ifstream in(here.parent_path() / "../../../conf" / name);
  EXPECT_TRUE(in.is_open());
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Samples, AreGood) {
  const Loaded loaded = load(read_sample("main.cf"));
  EXPECT_THAT(loaded.findings.errors, IsEmpty());
  EXPECT_THAT(loaded.findings.warnings, IsEmpty());
  const MasterCf master = parse_master_cf(read_sample("master.cf"));
  EXPECT_THAT(master.errors, IsEmpty());
  EXPECT_GE(master.services.size(), 6u);
  for (const ServiceEntry& service : master.services) {
    const Loaded one = load("", service.overrides);
    EXPECT_THAT(one.findings.errors, IsEmpty()) << service.name;
    EXPECT_THAT(one.findings.warnings, IsEmpty()) << service.name;
  }
}

class SettingsFile : public testing::Test {
 protected:
  SettingsFile() {
    char path[] = "/tmp/postrider-settings-XXXXXX";
    directory_ = ::mkdtemp(path);
  }
  ~SettingsFile() override { std::filesystem::remove_all(directory_); }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
  }
  std::string directory_;
};

TEST_F(SettingsFile, LoadsBothFiles) {
  write("main.cf", "slow_destination_concurrency_limit = 3\n");
  write("master.cf", "slow unix - - n - - smtp\nbroken\n");
  Findings findings;
  auto settings = Settings::load({.config_directory = directory_}, findings);
  ASSERT_TRUE(settings.ok()) << settings.error().text();
  EXPECT_THAT(findings.warnings, IsEmpty());
  EXPECT_EQ(settings->per_transport("slow", "destination_concurrency_limit"), 3);
}

TEST_F(SettingsFile, MissingFileIsAnError) {
  Findings findings;
  EXPECT_FALSE(Settings::load({.config_directory = directory_}, findings).ok());
  EXPECT_THAT(findings.errors, ElementsAre(HasSubstr("main.cf")));
}

TEST_F(SettingsFile, FileThatAnybodyMayWriteIsRefused) {
  write("main.cf", "");
  ASSERT_EQ(::chmod((directory_ + "/main.cf").c_str(), 0666), 0);
  Findings findings;
  EXPECT_FALSE(Settings::load({.config_directory = directory_}, findings).ok());
  EXPECT_THAT(findings.errors, ElementsAre(HasSubstr("chmod o-w")));
}

} // namespace
} // namespace postrider::config

// SPDX-License-Identifier: MIT
#include "init.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>
#include <unistd.h>

#include "check.hpp"
#include "config/master_cf.hpp"
#include "config/settings.hpp"
#include "edit.hpp"

namespace postrider::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

class Init : public testing::Test {
 protected:
  Init() {
    char name[] = "/tmp/postrider-init-XXXXXX";
    const char* made = ::mkdtemp(name);
    EXPECT_NE(made, nullptr);
    top = made == nullptr ? "" : made;
    instance.directory = top + "/mail";
    if (::geteuid() == 0) instance.user = "nobody";
  }
  ~Init() override {
    std::error_code ignored;
    std::filesystem::remove_all(top, ignored);
  }
  std::string read(const std::string& name) const {
    std::ifstream in(instance.directory + "/" + name);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(instance.directory + "/" + name) << text;
  }
  Result<config::Settings> settings() const {
    config::Findings findings;
    return config::Settings::load({.config_directory = instance.directory, .overrides = {}},
                                  findings);
  }
  std::string top;
  Instance instance;
};

TEST_F(Init, MakesWhatTheProgramsUnderstand) {
  instance.listen = {"127.0.0.1:2525", "[::1]:2526"};
  instance.relayhost = "[127.0.0.1]:2527";
  instance.myhostname = "mail.example.net";
  const auto made = make_instance(instance);
  ASSERT_TRUE(made.ok()) << made.error().text();
  const auto got = settings();
  ASSERT_TRUE(got.ok()) << got.error().text();
  EXPECT_EQ(got->text("queue_directory"), instance.directory + "/spool");
  EXPECT_EQ(got->text("data_directory"), instance.directory + "/data");
  EXPECT_EQ(got->text("maillog_file"), instance.directory + "/log/postrider.log");
  EXPECT_EQ(got->text("relayhost"), "[127.0.0.1]:2527");
  EXPECT_EQ(got->text("myhostname"), "mail.example.net");
  const config::MasterCf master = config::parse_master_cf(read("master.cf"));
  EXPECT_TRUE(master.errors.empty());
  std::vector<std::string> names;
  for (const auto& service : master.services)
    names.push_back(service.name + " " + service.command);
  EXPECT_THAT(names,
              testing::ElementsAre("127.0.0.1:2525 smtpd", "[::1]:2526 smtpd", "submit smtpd",
                                   "qmgr qmgr", "bounce bounce", "tlsmgr tlsmgr", "smtp smtp",
                                   "relay smtp", "lmtp lmtp", "scache scache", "tokenmgr tokenmgr",
                                   "saslmgr saslmgr", "tlsrpt tlsrpt", "anvil anvil"));
  for (const auto& service : master.services) {
    EXPECT_TRUE(service.unprivileged) << service.name;
    EXPECT_FALSE(service.chroot) << service.name;
    if (service.name == "qmgr") {
      EXPECT_EQ(service.socket_path(), "public/qmgr");
      EXPECT_EQ(service.limit, 1U);
    }
    if (service.name == "submit") {
      EXPECT_EQ(service.socket_path(), "public/submit");
    }
    if (service.name == "smtp") {
      EXPECT_EQ(service.socket_path(), "private/smtp");
    }
  }
}

TEST_F(Init, LinesMayBeAddedWithoutWarnings) {
  ASSERT_TRUE(make_instance(instance).ok());
  write("main.cf", read("main.cf") + "relayhost = [127.0.0.1]:2526\nmynetworks = 127.0.0.0/8\n");
  config::Findings findings;
  const auto got =
      config::Settings::load({.config_directory = instance.directory, .overrides = {}}, findings);
  ASSERT_TRUE(got.ok());
  EXPECT_THAT(findings.warnings, testing::IsEmpty());
  EXPECT_EQ(got->text("relayhost"), "[127.0.0.1]:2526");
}

TEST_F(Init, NeverOverwrites) {
  ASSERT_TRUE(make_instance(instance).ok());
  write("main.cf", "mine = 1\n");
  const auto again = make_instance(instance);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().kind(), ErrorKind::busy);
  EXPECT_EQ(read("main.cf"), "mine = 1\n");
}

TEST_F(Init, BadOptionsLeaveNothingBehind) {
  for (const char* listen : {"", "not a place", "127.0.0.1:99999", "x=y", "1.2.3.4:25 #"}) {
    Instance bad = instance;
    bad.listen = {listen};
    EXPECT_FALSE(make_instance(bad).ok()) << listen;
  }
  Instance bad = instance;
  bad.relayhost = "a\nmynetworks = 0.0.0.0/0";
  EXPECT_FALSE(make_instance(bad).ok());
  bad = instance;
  bad.user = "no-such-user-here";
  EXPECT_FALSE(make_instance(bad).ok());
  EXPECT_FALSE(std::filesystem::exists(instance.directory));
}

TEST_F(Init, DollarsInTheDirectoryStayLiteral) {
  instance.directory = top + "/a$b";
  ASSERT_TRUE(make_instance(instance).ok());
  const auto got = settings();
  ASSERT_TRUE(got.ok()) << got.error().text();
  EXPECT_EQ(got->text("queue_directory"), instance.directory + "/spool");
}

TEST_F(Init, CheckFindsMistakesWithFileAndLine) {
  ASSERT_TRUE(make_instance(instance).ok());
  const std::string good = read("main.cf");
  const std::string master = read("master.cf");
  // The programs are not beside this test: have them somewhere.
  std::filesystem::create_directories(instance.directory + "/programs");
  for (const char* name : {"smtpd", "qmgr", "smtp", "lmtp", "bounce", "tlsmgr", "scache",
                           "tokenmgr", "saslmgr", "tlsrpt", "anvil"})
    std::filesystem::create_symlink("/bin/true", instance.directory + "/programs/" + name);
  const std::string base = good + "daemon_directory = " + instance.directory + "/programs\n";
  write("main.cf", base);
  EXPECT_THAT(check_configuration(instance.directory).errors, testing::IsEmpty());

  const auto line_of = [&](const std::string& text) {
    return std::to_string(std::count(text.begin(), text.end(), '\n'));
  };
  const auto error_for = [&](const std::string& line) {
    write("main.cf", base + line + "\n");
    const Report report = check_configuration(instance.directory);
    std::string all;
    for (const std::string& error : report.errors)
      all += error + "\n";
    return all;
  };
  const std::string at = "main.cf:" + line_of(base + "x\n") + ": ";
  EXPECT_THAT(error_for("smtp_helo_timeout = soon"), HasSubstr(at));
  EXPECT_THAT(error_for("transport_maps = texthash:/no/such/table"), HasSubstr(at));
  EXPECT_THAT(error_for("transport_maps = nosuch:/table"), HasSubstr(at));
  EXPECT_THAT(error_for("default_transport = pigeon"), HasSubstr("no unix service pigeon"));

  write("main.cf", base);
  write("master.cf", master + "other unix - - n - - smtp -o smtp_helo_timeout=soon\n");
  Report report = check_configuration(instance.directory);
  ASSERT_EQ(report.errors.size(), 1U);
  EXPECT_THAT(report.errors[0], HasSubstr("master.cf:" + line_of(master + "x\n") +
                                          ": service other: -o smtp_helo_timeout"));
  write("master.cf", master + "other unix - - n - - pigeon\n");
  report = check_configuration(instance.directory);
  ASSERT_EQ(report.errors.size(), 1U);
  EXPECT_THAT(report.errors[0], HasSubstr("programs/pigeon"));
}

struct EditCase {
  std::string_view name, before;
  std::vector<Edit> edits;
  std::string_view after;
};
class Edits : public testing::TestWithParam<EditCase> {};
TEST_P(Edits, ChangeOnlyTheirLines) {
  EXPECT_EQ(edited_main_cf(GetParam().before, GetParam().edits), GetParam().after);
}
INSTANTIATE_TEST_SUITE_P(
    Table, Edits,
    testing::ValuesIn<EditCase>({
        {"Appends", "# c\na = 1\n", {{"b", "2"}}, "# c\na = 1\nb = 2\n"},
        {"AppendsAfterMissingNewline", "a = 1", {{"b", "2"}}, "a = 1\nb = 2\n"},
        {"Replaces", "a = 1\nb = 2\n", {{"a", "3"}}, "a = 3\nb = 2\n"},
        {"ReplacesContinuations",
         "a = 1,\n  2,\n# c\n  3\nb = 2\n",
         {{"a", "9"}},
         "a = 9\nb = 2\n"},
        {"LastCounts", "a = 1\nb = 2\na=3\n", {{"a", "4"}}, "b = 2\na = 4\n"},
        {"Removes", "a = 1\n b\n# keep\nc = 2\n", {{"a", "", true}}, "# keep\nc = 2\n"},
        {"Empties", "a = 1\n", {{"a", ""}}, "a =\n"},
        {"CommentedIsNoSetting", "#a = 1\n", {{"a", "2"}}, "#a = 1\na = 2\n"},
        {"IntoNothing", "", {{"a", "2"}}, "a = 2\n"},
    }),
    [](const auto& c) { return std::string(c.param.name); });

TEST(EditText, IsParsedStrictly) {
  const auto good = parse_edit(" a_b = x = y ");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->name, "a_b");
  EXPECT_EQ(good->value, "x = y");
  for (const char* bad : {"", "=", "a", "a b=c", "a=b\nc=d"})
    EXPECT_FALSE(parse_edit(bad).ok()) << bad;
}

} // namespace
} // namespace postrider::ctl

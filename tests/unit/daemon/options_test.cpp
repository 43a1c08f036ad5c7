// SPDX-License-Identifier: MIT
#include "daemon/options.hpp"

#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

Result<Options> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "smtpd");
  return parse_options(static_cast<int>(words.size()), words.data());
}

TEST(DaemonOptions, WhatMasterWrites) {
  const auto options = parse({"-n", "smtp", "-t", "inet", "-u", "-j", "-o", "a=b", "-o",
                              "c = d e=f", "-oempty=", "-v", "-c", "/etc/x"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->service_name, "smtp");
  EXPECT_EQ(options->service_type, "inet");
  EXPECT_TRUE(options->change_user);
  EXPECT_TRUE(options->change_root);
  EXPECT_TRUE(options->verbose);
  EXPECT_EQ(options->config_directory, "/etc/x");
  EXPECT_THAT(options->overrides,
              ElementsAre(Pair("a", "b"), Pair("c", "d e=f"), Pair("empty", "")));
}

TEST(DaemonOptions, WordsOfTheProgram) {
  const auto options = parse({"-n", "relay", "-o", "a=b", "flags=DRX", "more"});
  ASSERT_TRUE(options.ok());
  EXPECT_THAT(options->words, ElementsAre("flags=DRX", "more"));
  EXPECT_EQ(options->service_name, "relay");
}

TEST(DaemonOptions, ConfigurationDirectory) {
  ::unsetenv("MAIL_CONFIG");
  EXPECT_EQ(parse({})->config_directory, "/etc/postrider");
  ::setenv("MAIL_CONFIG", "/etc/other", 1);
  EXPECT_EQ(parse({})->config_directory, "/etc/other");
  EXPECT_EQ(parse({"-c", "/etc/x"})->config_directory, "/etc/x");
  EXPECT_THAT(parse({"-c", "here"})->config_directory, testing::EndsWith("/here"));
  EXPECT_THAT(parse({"-c", "here"})->config_directory, testing::StartsWith("/"));
  ::unsetenv("MAIL_CONFIG");
}

struct BadCase {
  std::string name;
  std::vector<const char*> words;
  std::string message;
};
class BadOptions : public testing::TestWithParam<BadCase> {};
TEST_P(BadOptions, AreRefused) {
  const auto options = parse(GetParam().words);
  ASSERT_FALSE(options.ok());
  EXPECT_EQ(options.error().kind(), ErrorKind::config);
  EXPECT_THAT(options.error().text(), HasSubstr(GetParam().message));
}
INSTANTIATE_TEST_SUITE_P(Table, BadOptions,
                         testing::ValuesIn<BadCase>({
                             {"Unknown", {"-x"}, "-x"},
                             {"Abbreviated", {"--verb"}, "--verb"},
                             {"NoValue", {"-n"}, "required argument"},
                             {"NoEquals", {"-o", "name"}, "name=value"},
                             {"NoName", {"-o", "=value"}, "name=value"},
                             {"BadType", {"-t", "fifo"}, "fifo"},
                         }),
                         [](const auto& row) { return row.param.name; });

} // namespace
} // namespace postrider::daemon

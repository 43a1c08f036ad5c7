// SPDX-License-Identifier: MIT
#include "import.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/master_cf.hpp"

namespace postrider::ctl {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

const Item* item(const Imported& imported, std::string_view place) {
  for (const Item& one : imported.items)
    if (one.place == place) return &one;
  return nullptr;
}

Fate fate(const Imported& imported, std::string_view place) {
  const Item* found = item(imported, place);
  EXPECT_NE(found, nullptr) << place;
  return found == nullptr ? Fate::unsupported : found->fate;
}

// What we write, our own parser reads.
const std::vector<config::ServiceEntry> services(const Imported& imported) {
  const config::MasterCf parsed = config::parse_master_cf(master_cf_lines(imported));
  EXPECT_THAT(parsed.errors, testing::IsEmpty());
  return parsed.services;
}

TEST(ImportHaraka, TheExampleOfItsManual) {
  const auto made = import_haraka("; default SMTP host\n"
                                  "host=192.0.2.4\n"
                                  "auth_type=plain\n"
                                  "auth_user=user\n"
                                  "auth_pass=secret\n"
                                  "connect_timeout=20\n"
                                  "timeout=100\n"
                                  "max_connections=7\n"
                                  "check_recipient=true\n"
                                  "check_sender\n"
                                  "domain_selector=mail_from\n"
                                  "[example1.com]\n"
                                  "host=192.0.2.5\n"
                                  "port=2525\n"
                                  "enable_tls=false\n"
                                  "[Example4.com]\n"
                                  "enable_outbound=false\n",
                                  "smtp_forward.ini");
  ASSERT_TRUE(made.ok()) << made.error().text();
  const auto listeners = services(*made);
  ASSERT_EQ(listeners.size(), 1U);
  for (const auto& [name, value] : std::vector<Setting>{{"smtpd_forward", "tcp://192.0.2.4:25"},
                                                        {"smtpd_forward_check", "data"},
                                                        {"smtpd_forward_maps", "texthash:forward"},
                                                        {"smtpd_forward_selector", "mail_from"},
                                                        {"smtpd_forward_check_recipient", "yes"},
                                                        {"smtpd_forward_check_sender", "yes"},
                                                        {"smtpd_forward_idle_time", "100s"},
                                                        {"smtpd_forward_connection_limit", "7"},
                                                        {"smtp_connect_timeout", "20s"},
                                                        {"smtp_tls_security_level", "may"},
                                                        {"smtp_sasl_mechanism_filter", "plain"}})
    EXPECT_THAT(listeners[0].overrides, Contains(Pair(name, value)));
  ASSERT_EQ(made->files.size(), 3U);
  EXPECT_EQ(made->files[0].text, "example1.com tcp://192.0.2.5:2525\nexample4.com queue\n");
  EXPECT_EQ(made->files[1].text, "[192.0.2.4]:25 user:secret\n");
  EXPECT_TRUE(made->files[1].secret);
  EXPECT_EQ(made->files[2].text, "[192.0.2.5]:2525 none\n");
  EXPECT_EQ(fate(*made, "smtp_forward.ini:2"), Fate::works);
  EXPECT_EQ(fate(*made, "smtp_forward.ini:5"), Fate::differs);
  for (const Item& one : made->items)
    EXPECT_THAT(one.said + one.remark, Not(HasSubstr("secret")));
}

TEST(ImportHaraka, WhatItCannotHaveIsSaid) {
  const auto made =
      import_haraka("host=a\nenable_outbound=false\nqueue=qmail-queue\nblah=1\n", "f");
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(fate(*made, "f:2"), Fate::differs);
  EXPECT_EQ(fate(*made, "f:3"), Fate::unsupported);
  EXPECT_EQ(fate(*made, "f:4"), Fate::unsupported);
  EXPECT_THAT(import_haraka("[x\n", "f").error().text(), HasSubstr("f:1: "));
  EXPECT_THAT(import_haraka("a=1\n=2\n", "f").error().text(), HasSubstr("f:2: "));
}

TEST(ImportMaddy, BlocksBecomeListeners) {
  const auto made = import_maddy("hostname mx.example\n"
                                 "target.smtp out { # a comment\n"
                                 "    attempt_starttls no\n"
                                 "    require_tls yes\n"
                                 "    auth plain me \"a b\"\n"
                                 "    targets tls://192.0.2.1:465 tcp://192.0.2.2:25\n"
                                 "    connect_timeout 1m30s\n"
                                 "    command_timeout 2m\n"
                                 "    submission_timeout 12m\n"
                                 "    tls_client {\n"
                                 "        protocols tls1.2 tls1.3\n"
                                 "        root_ca /etc/ca.pem\n"
                                 "        curves X25519\n"
                                 "    }\n"
                                 "}\n"
                                 "smtp tcp://0.0.0.0:25 {\n"
                                 "    default_source {\n"
                                 "        deliver_to lmtp unix:///run/lmtp.sock {\n"
                                 "            auth forward\n"
                                 "        }\n"
                                 "    }\n"
                                 "}\n",
                                 "maddy.conf");
  ASSERT_TRUE(made.ok()) << made.error().text();
  const auto listeners = services(*made);
  ASSERT_EQ(listeners.size(), 2U);
  for (const auto& [name, value] :
       std::vector<Setting>{{"smtpd_forward", "tls://192.0.2.1:465, tcp://192.0.2.2:25"},
                            {"smtpd_forward_check", "rcpt"},
                            {"smtpd_forward_auth", "maps"},
                            {"smtp_tls_security_level", "encrypt"},
                            {"smtp_connect_timeout", "90s"},
                            {"smtp_mail_timeout", "120s"},
                            {"smtp_data_done_timeout", "720s"},
                            {"smtp_tls_protocols", ">=TLSv1.2, <=TLSv1.3"},
                            {"smtp_tls_CAfile", "/etc/ca.pem"}})
    EXPECT_THAT(listeners[0].overrides, Contains(Pair(name, value)));
  for (const auto& [name, value] :
       std::vector<Setting>{{"smtpd_forward", "lmtp:unix:///run/lmtp.sock"},
                            {"smtpd_forward_auth", "forward"},
                            {"lmtp_tls_security_level", "none"}})
    EXPECT_THAT(listeners[1].overrides, Contains(Pair(name, value)));
  ASSERT_EQ(made->files.size(), 1U);
  EXPECT_EQ(made->files[0].text, "192.0.2.1:465 me:a b\n192.0.2.2:25 me:a b\n");
  EXPECT_EQ(fate(*made, "maddy.conf:13"), Fate::unsupported);
}

TEST(ImportMaddy, BadSyntaxNamesTheLine) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {{"target.smtp {\n", "f:2: a block has no }"},
               {"a\n}\n", "f:2: a } without its {"},
               {"target.smtp \"x\n", "a quoted word has no end"},
               {"smtp tcp://a { }\n", "no target.smtp"}};
  for (const auto& [text, error] : cases)
    EXPECT_THAT(import_maddy(text, "f").error().text(), HasSubstr(error)) << text;
  std::string deep;
  for (int i = 0; i < 100; ++i)
    deep += "a {\n";
  EXPECT_THAT(import_maddy(deep, "f").error().text(), HasSubstr("too deeply"));
}

TEST(ImportMailfront, EachVariableHasItsParameter) {
  const auto made = import_mailfront("#!/bin/sh\n"
                                     "export SMTPGREETING='mx.example costs $5'\n"
                                     "TIMEOUT=60\n"
                                     "SESSION_TIMEOUT=3600\n"
                                     "MAXNOTIMPL=3\n"
                                     "TLS_CERTFILE=/etc/mail.pem\n"
                                     "TLS_PRIORITY=NORMAL\n"
                                     "TLS_COMPAT=1\n"
                                     "TLS_DH_PARAMS=/etc/dh\n"
                                     "TLS_IMMEDIATE=1\n"
                                     "CVM_SASL_PLAIN=cvm-local\n"
                                     "exec tcpserver 0 25 mailfront smtp qmail\n",
                                     "run");
  ASSERT_TRUE(made.ok());
  EXPECT_THAT(master_cf_lines(*made), HasSubstr("  -o { smtpd_banner = mx.example costs $$5 }\n"));
  const auto listeners = services(*made);
  ASSERT_EQ(listeners.size(), 1U);
  for (const auto& [name, value] : std::vector<Setting>{{"smtpd_timeout", "60s"},
                                                        {"smtpd_session_time_limit", "3600s"},
                                                        {"smtpd_unimplemented_command_limit", "3"},
                                                        {"smtpd_tls_cert_file", "/etc/mail.pem"},
                                                        {"smtpd_tls_priority", "NORMAL"},
                                                        {"smtpd_tls_compatibility_mode", "yes"},
                                                        {"smtpd_tls_wrappermode", "yes"},
                                                        {"smtpd_tls_security_level", "may"}})
    EXPECT_THAT(listeners[0].overrides, Contains(Pair(name, value)));
  EXPECT_EQ(fate(*made, "run:9"), Fate::no_effect);
  EXPECT_EQ(fate(*made, "run:11"), Fate::unsupported);
  EXPECT_EQ(fate(*made, "run:12"), Fate::no_effect);
}

TEST(ImportPostfix, EachLineHasItsFate) {
  const auto made = import_postfix("myhostname = mx.example\n"
                                   "myorigin = $mydomain\n"
                                   "setgid_group = postdrop\n"
                                   "content_filter = scan:[127.0.0.1]:10025\n"
                                   "queue_directory = /var/spool/postfix\n"
                                   "smtp_helo_timeout = soon\n"
                                   "fallback_relay = [192.0.2.1]\n"
                                   "transport_maps = mysql:/etc/transport.cf\n"
                                   "mailbox_command = procmail\n",
                                   "smtp      inet  n - y - - smtpd\n"
                                   "  -o smtpd_banner=$myhostname -o smtp_helo_timeout=never\n"
                                   "cleanup   unix  n - y - 0 cleanup\n"
                                   "qmgr      unix  n - n 300 1 qmgr\n"
                                   "local     unix  - n n - - local\n"
                                   "defer     unix  - - y - 0 bounce\n"
                                   "postlog   unix-dgram n - n - 1 postlogd\n"
                                   "own       unix  - - n - - homemade\n",
                                   "/p");
  ASSERT_TRUE(made.ok());
  const std::pair<const char*, Fate> expected[] = {
      {"/p/main.cf:1", Fate::works},         {"/p/main.cf:2", Fate::works},
      {"/p/main.cf:3", Fate::no_effect},     {"/p/main.cf:4", Fate::unsupported},
      {"/p/main.cf:5", Fate::differs},       {"/p/main.cf:6", Fate::unsupported},
      {"/p/main.cf:7", Fate::differs},       {"/p/main.cf:8", Fate::unsupported},
      {"/p/main.cf:9", Fate::unsupported},   {"/p/master.cf:1", Fate::works},
      {"/p/master.cf:3", Fate::no_effect},   {"/p/master.cf:4", Fate::works},
      {"/p/master.cf:5", Fate::unsupported}, {"/p/master.cf:6", Fate::no_effect},
      {"/p/master.cf:7", Fate::no_effect},   {"/p/master.cf:8", Fate::unsupported}};
  for (const auto& [place, wanted] : expected)
    EXPECT_EQ(fate(*made, place), wanted) << place;
  // A filter that cannot be had keeps the instance from starting; the rest is left out.
  EXPECT_EQ(main_cf_lines(*made), "myhostname = mx.example\n"
                                  "myorigin = $mydomain\n"
                                  "content_filter = scan:[127.0.0.1]:10025\n"
                                  "fallback_relay = [192.0.2.1]\n");
  const auto kept = services(*made);
  ASSERT_EQ(kept.size(), 2U);
  EXPECT_EQ(kept[0].command, "smtpd");
  EXPECT_FALSE(kept[0].chroot);
  EXPECT_THAT(kept[0].overrides, testing::ElementsAre(Pair("smtpd_banner", "$myhostname")));
  EXPECT_EQ(kept[1].command, "qmgr");
}

} // namespace
} // namespace postrider::ctl

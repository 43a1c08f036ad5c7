// SPDX-License-Identifier: MIT
#include "view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "json.hpp"
#include "text.hpp"

namespace postrider::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t kNow = 1790000000000000;
constexpr std::int64_t kSecond = 1000000;

struct ShownCase {
  std::string_view name, in, out;
};
class Shown : public testing::TestWithParam<ShownCase> {};
TEST_P(Shown, LeavesNoCommandForATerminal) { EXPECT_EQ(shown(GetParam().in), GetParam().out); }
INSTANTIATE_TEST_SUITE_P(Table, Shown,
                         testing::ValuesIn<ShownCase>({
                             {"Plain", "a@b", "a@b"},
                             {"Utf8", "b\xc3\xb6rk", "b\xc3\xb6rk"},
                             {"Escape", "\x1b[2J", "\\x1b[2J"},
                             {"Newline", "a\nb\r\t", "a\\x0ab\\x0d\\x09"},
                             {"Nul", std::string_view("a\0b", 3), "a\\x00b"},
                             {"Delete", "\x7f", "\\x7f"},
                             {"Invalid", "\xff\xc3", "\\xff\\xc3"},
                             {"C1",
                              "\xc2\x9b"
                              "2J",
                              "\\xc2\\x9b2J"},
                         }),
                         [](const auto& c) { return std::string(c.param.name); });

TEST(Text, ShownCutsAtCharacters) {
  EXPECT_EQ(shown("abcdefgh", 8), "abcdefgh");
  EXPECT_EQ(shown("abcdefghi", 8), "abcde...");
  EXPECT_EQ(shown("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 5), "\xc3\xa4\xc3\xa4...");
}

TEST(Text, SizesAndTimes) {
  EXPECT_EQ(show_size(0), "0");
  EXPECT_EQ(show_size(999), "999");
  EXPECT_EQ(show_size(1000), "1.0k");
  EXPECT_EQ(show_size(4500), "4.4k");
  EXPECT_EQ(show_size(12 << 20), "12M");
  EXPECT_EQ(show_size(std::uint64_t{3} << 30), "3.0G");
  EXPECT_EQ(show_duration(-5), "0s");
  EXPECT_EQ(show_duration(119), "119s");
  EXPECT_EQ(show_duration(120), "2m");
  EXPECT_EQ(show_duration(7200), "2h");
  EXPECT_EQ(show_duration(48 * 3600), "2d");
  EXPECT_EQ(show_until(0, kNow), "-");
  EXPECT_EQ(show_until(kNow - 1, kNow), "now");
  EXPECT_EQ(show_until(kNow + 90 * kSecond, kNow), "in 90s");
  EXPECT_EQ(show_age(kNow - 600 * kSecond, kNow), "10m");
  EXPECT_EQ(show_sender(""), "<>");
  EXPECT_EQ(counted(1, "message"), "1 message");
  EXPECT_EQ(counted(0, "message"), "0 messages");
}

TEST(Text, TablesAlignByCharacters) {
  Table table({"NAME", "N", "REST"});
  table.align_right(1);
  table.add({"b\xc3\xb6rk", "7", "x"});
  table.add({"a", "123", ""});
  EXPECT_EQ(table.text(), "NAME    N  REST\nb\xc3\xb6rk    7  x\na     123\n");
}

proto::QueueItem item() {
  proto::QueueItem out;
  out.id = "4QBBBBBBBBBB";
  out.where = proto::Where::deferred;
  out.size = 4500;
  out.arrival = kNow - 7200 * kSecond;
  out.next_try = kNow + 300 * kSecond;
  out.sender = "ann@example.com";
  out.open_recipients = 3;
  out.recipients.push_back({"bob@example.org", ""});
  out.destinations = {"example.org"};
  out.reason = "timed out\x1b[31m";
  return out;
}

TEST(View, QueueItemSaysWhoWhereWhenWhy) {
  EXPECT_EQ(view(item(), kNow), "4QBBBBBBBBBB  deferred  4.4k   2h    in 5m    ann@example.com\n"
                                "    -> bob@example.org\n"
                                "    -> and 2 recipients more\n"
                                "       timed out\\x1b[31m\n");
}

TEST(View, WhyNamesGateReplyAndNextTry) {
  proto::WhyAnswer answer;
  answer.id = "4QBBBBBBBBBB";
  answer.where = proto::Where::deferred;
  answer.sender = "";
  answer.arrival = kNow - 60 * kSecond;
  answer.expires = kNow + 5 * 86400 * kSecond;
  answer.strikes = 2;
  proto::WhyRecipient r;
  r.address = "bob@example.org";
  r.attempts = 4;
  r.gate = mail::Gate::destination_backed_off;
  r.next_try = kNow + 300 * kSecond;
  r.in_doubt = true;
  r.last.dsn = "4.4.1";
  r.last.text = "connect to mx.example.org[192.0.2.1]:25: timed out\nforged: line";
  r.last.host = "mx.example.org";
  r.last.address = "192.0.2.1";
  r.last.port = 25;
  r.transport = "smtp";
  r.nexthop = "example.org";
  answer.recipients.push_back(r);
  const std::string text = view(answer, kNow);
  EXPECT_THAT(text, HasSubstr("from <>"));
  EXPECT_THAT(text, HasSubstr("to bob@example.org: waits after 4 attempts\n"));
  EXPECT_THAT(text, HasSubstr("because: destination backed off\n"));
  EXPECT_THAT(text, HasSubstr("next try: in 5m"));
  EXPECT_THAT(text, HasSubstr("route: smtp:example.org\n"));
  EXPECT_THAT(text, HasSubstr("in doubt"));
  EXPECT_THAT(text, HasSubstr("last: 4.4.1 connect to mx.example.org"));
  EXPECT_THAT(text, HasSubstr("at mx.example.org[192.0.2.1]:25"));
  EXPECT_THAT(text, HasSubstr("2 delivery processes died"));
  EXPECT_THAT(text, Not(HasSubstr("\nforged")));
}

TEST(View, ActedPrintsTheCount) {
  proto::Acted acted;
  acted.matched = 3;
  acted.changed = 3;
  acted.examples = {"4QBBBBBBBBBB"};
  EXPECT_EQ(view(acted, proto::Action::remove, false), "deleted 3 messages\n");
  EXPECT_EQ(view(acted, proto::Action::remove, true),
            "would delete 3 messages\nfor example 4QBBBBBBBBBB\n");
  acted.changed = 1;
  acted.not_found = 2;
  EXPECT_EQ(view(acted, proto::Action::hold, false),
            "held 1 message of 3 selected\n2 queue ids are not in the queue\n");
}

TEST(View, StatusShowsServicesAndDeaths) {
  proto::MasterStatus master;
  master.pid = 77;
  master.version = "0.1";
  proto::MasterService service;
  service.name = "smtp";
  service.type = "unix";
  service.state = "serving";
  service.limit = 2;
  service.listen = {"private/smtp"};
  service.deaths = 3;
  service.last_death = "killed by signal 9";
  service.last_death_micros = kNow - 30 * kSecond;
  service.backoff_millis = 1500;
  proto::MasterChild child;
  child.pid = 78;
  child.state = "busy";
  child.clients = 4;
  child.jail = "limits, user";
  service.children.push_back(child);
  master.services.push_back(service);
  const std::string text = view(master, kNow);
  EXPECT_THAT(text, HasSubstr("master is process 77"));
  EXPECT_THAT(text, HasSubstr("smtp     serving        1/2        4       3  private/smtp\n"));
  EXPECT_THAT(text, HasSubstr("smtp: last death 30s ago, killed by signal 9; next start in 2s\n"));
  proto::StatusAnswer queue;
  proto::AgentStatus agent;
  agent.pid = 78;
  agent.capacity = 100;
  agent.in_flight = 12;
  queue.agents.push_back(agent);
  EXPECT_THAT(view_sessions(master, &queue), HasSubstr("12/100"));
  EXPECT_THAT(view_sessions(master, nullptr), HasSubstr("limits, user"));
}

TEST(Json, QueueItemHasTheNamesOfPostqueue) {
  const std::string text = json::of(item());
  EXPECT_THAT(text, HasSubstr("\"queue_name\":\"deferred\",\"queue_id\":\"4QBBBBBBBBBB\","
                              "\"arrival_time\":1789992800,\"message_size\":4500,"
                              "\"sender\":\"ann@example.com\""));
  EXPECT_THAT(text, HasSubstr("\"recipients\":[{\"address\":\"bob@example.org\"}]"));
  EXPECT_THAT(text, HasSubstr("\\u001b"));
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(Json, BytesThatAreNoTextBecomeReplacements) {
  proto::QueueItem bad = item();
  bad.sender = "caf\xe9@x";
  EXPECT_THAT(json::of(bad), HasSubstr("caf\xef\xbf\xbd@x"));
  EXPECT_EQ(json::of_error("a\"b"), "{\"error\":\"a\\\"b\"}");
}

TEST(Json, StatusSaysWhatIsMissing) {
  EXPECT_EQ(json::of(nullptr, nullptr), "{\"running\":false}");
}

} // namespace
} // namespace postrider::ctl

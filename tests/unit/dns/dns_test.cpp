// SPDX-License-Identifier: MIT
// Replies of the DNS as we read them, and what they mean for mail.

#include <gtest/gtest.h>

#include "dns/host.hpp"
#include "dns/mx.hpp"
#include "dns/resolver.hpp"
#include "support/fake_dns.hpp"
#include "support/run_task.hpp"

namespace postrider::dns {
namespace {

using namespace std::literals;

// Writes DNS messages by hand.
class Message {
 public:
  Message(int id, int rcode, std::string_view name, Type type) {
    put16(bytes_, id);
    put16(bytes_, 0x8180 | rcode);
    put16(bytes_, 1);
    put16(bytes_, 0);
    put16(bytes_, 0);
    put16(bytes_, 0);
    put_name(bytes_, name);
    put16(bytes_, static_cast<int>(type));
    put16(bytes_, 1);
  }
  Message& add(int type, std::string_view rdata) {
    put16(bytes_, 0xc00c); // the question's name
    put16(bytes_, type);
    put16(bytes_, 1);
    put16(bytes_, 0);
    put16(bytes_, 300);
    put16(bytes_, static_cast<int>(rdata.size()));
    bytes_.append(rdata);
    ++count_;
    bytes_[6] = static_cast<char>(count_ >> 8);
    bytes_[7] = static_cast<char>(count_);
    return *this;
  }
  static std::string mx(int preference, std::string_view host) {
    std::string out;
    put16(out, preference);
    put_name(out, host);
    return out;
  }
  static std::string name(std::string_view host) {
    std::string out;
    put_name(out, host);
    return out;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  static void put16(std::string& out, int value) {
    out.push_back(static_cast<char>(value >> 8));
    out.push_back(static_cast<char>(value));
  }
  static void put_name(std::string& out, std::string_view name) {
    while (!name.empty()) {
      const auto label = name.substr(0, name.find('.'));
      out.push_back(static_cast<char>(label.size()));
      out.append(label);
      name.remove_prefix(std::min(name.size(), label.size() + 1));
    }
    out.push_back('\0');
  }
  std::string bytes_;
  int count_ = 0;
};

constexpr int kA = 1, kCname = 5, kPtr = 12, kMx = 15, kTlsa = 52;

TEST(ReplyOfTheDns, StatusFollowsFromCodeAndRecords) {
  const auto status = [](int rcode) {
    return parse_reply(Message(1, rcode, "a.example", Type::mx).bytes(), "a.example", Type::mx)
        .status;
  };
  EXPECT_EQ(status(0), Status::no_data);
  EXPECT_EQ(status(3), Status::no_domain);
  for (const int code : {1, 2, 4, 5, 9})
    EXPECT_EQ(status(code), Status::temporary) << code;
}

TEST(ReplyOfTheDns, ReadsRecordsBehindACname) {
  Message m(1, 0, "a.example", Type::mx);
  m.add(kCname, Message::name("B.example")).add(kMx, Message::mx(10, "MX1.b.example"));
  m.add(kA, "\xc0\0\x02\x01"sv);
  const Answer answer = parse_reply(m.bytes(), "a.example", Type::mx);
  EXPECT_EQ(answer.status, Status::ok);
  EXPECT_EQ(answer.canonical, "b.example");
  ASSERT_EQ(answer.records.size(), 1U);
  EXPECT_EQ(answer.records[0].data, "mx1.b.example");
  EXPECT_EQ(answer.records[0].preference, 10);
}

TEST(ReplyOfTheDns, SkipsRecordsOfTheWrongForm) {
  for (const auto rdata : {""sv, "\0"sv, "\0\x0a"sv, "\0\x0a\xff"sv, "\0\x0a\x03"sv}) {
    Message m(1, 0, "a.example", Type::mx);
    m.add(kMx, rdata);
    EXPECT_EQ(parse_reply(m.bytes(), "a.example", Type::mx).status, Status::temporary);
    m.add(kMx, Message::mx(1, "mx.example"));
    const Answer answer = parse_reply(m.bytes(), "a.example", Type::mx);
    EXPECT_LE(answer.records.size(), 1U);
  }
  for (const auto length : {0U, 1U, 2U, 3U}) {
    Message m(1, 0, "a.example", Type::tlsa);
    m.add(kTlsa, std::string(length, 'x'));
    EXPECT_TRUE(parse_reply(m.bytes(), "a.example", Type::tlsa).records.empty());
  }
}

// A host name goes into logs, cache keys and table look-ups: nothing else may come in its place.
TEST(ReplyOfTheDns, LeavesOutWhatIsNoHostName) {
  const std::string label(63, 'x');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'x');
  for (const auto& name :
       {"a/b.example"s, "a b.example"s, "/.example"s, "nul\0.example"s, "*.example"s, "-a.example"s,
        "a\n.example"s, "\xff\xfe.example"s, "a.b-"s, "x;id.example"s}) {
    Message m(1, 0, "a.example", Type::mx);
    m.add(kMx, Message::mx(1, name));
    const Answer bad = parse_reply(m.bytes(), "a.example", Type::mx);
    EXPECT_TRUE(bad.records.empty()) << name;
    EXPECT_NE(bad.status, Status::ok) << name;
    m.add(kMx, Message::mx(5, "good.example"));
    const Answer answer = parse_reply(m.bytes(), "a.example", Type::mx);
    EXPECT_EQ(answer.records.size(), 1U) << name;
    for (const char c : answer.complaint)
      EXPECT_TRUE(c >= ' ' && c <= '~') << name;
    EXPECT_LT(answer.complaint.size(), 300U);
  }
  Message m(1, 0, "a.example", Type::mx);
  m.add(kMx, Message::mx(1, longest));
  m.add(kMx, Message::mx(2, "192.0.2.1"));
  const Answer answer = parse_reply(m.bytes(), "a.example", Type::mx);
  ASSERT_EQ(answer.records.size(), 2U);
  EXPECT_EQ(answer.records[0].data, longest);
  EXPECT_EQ(answer.complaint,
            "numeric domain name in resource data of MX record for a.example: 192.0.2.1");
}

TEST(ReplyOfTheDns, ReverseNamesAreHostNamesAsTheyAreWritten) {
  const std::string label(63, 'x');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'x');
  const auto read = [](const std::string& name) {
    Message m(1, 0, "7.2.0.192.in-addr.arpa", Type::ptr);
    m.add(kCname, Message::name("7.0-15.2.0.192.in-addr.arpa")).add(kPtr, Message::name(name));
    return parse_reply(m.bytes(), "7.2.0.192.in-addr.arpa", Type::ptr);
  };
  for (const auto& name : {"Mx.Example"s, "a_b.example"s, "host"s, longest}) {
    const Answer answer = read(name);
    ASSERT_EQ(answer.records.size(), 1U) << name;
    EXPECT_EQ(answer.records[0].data, name);
  }
  for (const auto& name :
       {""s, "192.0.2.7"s, "1.2"s, "a b.example"s, "a\r\nb.example"s, "nul\0.example"s,
        "\xff.example"s, "a[192.0.2.1].example"s, "x.example\x1b[2J"s}) {
    const Answer answer = read(name);
    EXPECT_EQ(answer.status, Status::unusable) << name;
    EXPECT_NE(answer.complaint.find(" domain name in resource data of PTR record for "
                                    "7.0-15.2.0.192.in-addr.arpa: "),
              std::string::npos)
        << answer.complaint;
    for (const char c : answer.complaint)
      EXPECT_TRUE(c >= ' ' && c <= '~') << name;
  }
  EXPECT_EQ(read(longest + "x").status, Status::temporary); // longer than a name may be
}

TEST(ReplyOfTheDns, AliasesThatLeadNowhereAreTemporary) {
  Message once(1, 0, "a.example", Type::mx);
  once.add(kCname, Message::name("b.example"));
  EXPECT_EQ(parse_reply(once.bytes(), "a.example", Type::mx).status, Status::no_data);
  Message self(1, 0, "a.example", Type::mx);
  self.add(kCname, Message::name("A.example"));
  EXPECT_EQ(parse_reply(self.bytes(), "a.example", Type::mx).status, Status::temporary);
  Message circle(1, 0, "a.example", Type::mx);
  circle.add(kCname, Message::name("b.example")).add(kCname, Message::name("a.example"));
  EXPECT_EQ(parse_reply(circle.bytes(), "a.example", Type::mx).reason, "CNAME loop");
  Message chain(1, 0, "a.example", Type::mx);
  for (int i = 0; i < 100; ++i)
    chain.add(kCname, Message::name("c" + std::to_string(i) + ".example"));
  EXPECT_EQ(parse_reply(chain.bytes(), "a.example", Type::mx).status, Status::temporary);
}

TEST(ReplyOfTheDns, CountsAndPointersMayLie) {
  Message m(1, 0, "a.example", Type::mx);
  m.add(kMx, Message::mx(1, "mx.example"));
  std::string lying = m.bytes();
  lying[6] = lying[7] = '\xff'; // 65535 answers
  EXPECT_LE(parse_reply(lying, "a.example", Type::mx).records.size(), 1U);
  // A name that points to itself, one that points forward, two that point to each other.
  for (const auto rdata : {"\0\1\xc0\x29"sv, "\0\1\xc0\xff"sv, "\0\1\xc0\x2b\xc0\x29"sv}) {
    Message loop(1, 0, "a.example", Type::mx);
    loop.add(kMx, rdata);
    const Answer answer = parse_reply(loop.bytes(), "a.example", Type::mx);
    EXPECT_TRUE(answer.records.empty());
    EXPECT_EQ(answer.status, Status::temporary);
  }
}

TEST(ReplyOfTheDns, TtlHasAFloorAndACeiling) {
  Message m(1, 0, "a.example", Type::a);
  m.add(kA, "\x7f\0\0\x01"sv);
  std::string bytes = m.bytes();
  EXPECT_EQ(parse_reply(bytes, "a.example", Type::a).records.at(0).ttl, 300U);
  bytes[bytes.size() - 10] = '\x80'; // 2^31 and more is none at all
  EXPECT_EQ(parse_reply(bytes, "a.example", Type::a).records.at(0).ttl, 0U);
}

TEST(ReplyOfTheDns, SurvivesEveryTruncationAndEveryFlippedByte) {
  Message m(1, 0, "a.example", Type::mx);
  m.add(kCname, Message::name("b.example")).add(kMx, Message::mx(10, "mx.b.example"));
  const std::string good = m.bytes();
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_NE(parse_reply(ByteView(good).substr(0, length), "a.example", Type::mx).records.size(),
              2U);
  for (std::size_t at = 0; at < good.size(); ++at)
    for (const int value : {0x00, 0x3f, 0xc0, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(value);
      EXPECT_LE(parse_reply(bad, "a.example", Type::mx).records.size(), 2U);
    }
}

TEST(ReplyOfTheDns, KeepsABoundedNumberOfRecords) {
  Message m(1, 0, "a.example", Type::a);
  for (int i = 0; i < 3000; ++i)
    m.add(kA, "\x7f\0\0\x01"sv);
  EXPECT_EQ(parse_reply(m.bytes(), "a.example", Type::a).records.size(), kMaxRecords);
}

Answer mx_answer(std::vector<std::pair<int, std::string>> records) {
  Answer answer;
  answer.status = Status::ok;
  for (auto& [preference, name] : records) {
    Record record;
    record.preference = static_cast<std::uint16_t>(preference);
    record.data = name;
    answer.records.push_back(record);
  }
  return answer;
}

TEST(MxHosts, SortedUniqueAndUsable) {
  const MxList list = read_mx(
      mx_answer({{20, "b"}, {10, "a"}, {30, "a"}, {20, "192.0.2.1"}, {20, "c"}}), "d", nullptr);
  EXPECT_EQ(list.kind, MxList::Kind::hosts);
  EXPECT_EQ(list.hosts, (std::vector<MxHost>{{"a", 10}, {"b", 20}, {"192.0.2.1", 20}, {"c", 20}}));
}

TEST(MxHosts, ShuffleKeepsThePreferences) {
  Jitter jitter(1);
  bool differs = false;
  for (int i = 0; i < 50; ++i) {
    const MxList list =
        read_mx(mx_answer({{20, "z"}, {10, "a"}, {10, "b"}, {10, "c"}}), "d", &jitter);
    EXPECT_EQ(list.hosts.back().name, "z");
    differs = differs || list.hosts.front().name != "a";
  }
  EXPECT_TRUE(differs);
}

TEST(MxHosts, WhatTheAnswerMeans) {
  EXPECT_EQ(read_mx(mx_answer({{0, ""}}), "d", nullptr).kind, MxList::Kind::null_mx);
  // A null MX beside others is an error of the domain's; as in Postfix it counts.
  EXPECT_EQ(read_mx(mx_answer({{10, "a"}, {0, ""}}), "d", nullptr).kind, MxList::Kind::null_mx);
  Answer answer;
  answer.status = Status::unusable;
  EXPECT_EQ(read_mx(answer, "d", nullptr).kind, MxList::Kind::unusable);
  answer.status = Status::filtered;
  EXPECT_EQ(read_mx(answer, "d", nullptr).kind, MxList::Kind::filtered);
  answer.status = Status::temporary;
  EXPECT_EQ(read_mx(answer, "d", nullptr).kind, MxList::Kind::temporary);
  answer.status = Status::no_domain;
  EXPECT_EQ(read_mx(answer, "d", nullptr).kind, MxList::Kind::no_domain);
  answer.status = Status::no_data;
  const MxList implicit = read_mx(answer, "D.example", nullptr);
  EXPECT_TRUE(implicit.implicit);
  EXPECT_EQ(implicit.hosts, (std::vector<MxHost>{{"d.example", 0}}));
}

TEST(NativeLookup, KnowsLocalhost) {
  const HostAnswer answer = look_up_host_now("localhost");
  EXPECT_EQ(answer.kind, HostAnswer::Kind::found);
  for (const auto& address : answer.addresses)
    EXPECT_TRUE(address.is_loopback());
}

TEST(FakeZone, AnswersLikeADomain) {
  ev::Loop loop;
  test::FakeDns fake(loop, "a.example MX 10 mx.a.example\nmx.a.example A 192.0.2.1\n");
  const auto status = [&](std::string_view name, Type type) {
    return test::run_task<Result<Answer>>(loop,
                                          [&] { return fake.query(name, type, loop.after(1s)); })
        .value()
        .status;
  };
  EXPECT_EQ(status("a.example", Type::mx), Status::ok);
  EXPECT_EQ(status("a.example", Type::a), Status::no_data);
  EXPECT_EQ(status("b.example", Type::a), Status::no_domain);
}

} // namespace
} // namespace postrider::dns

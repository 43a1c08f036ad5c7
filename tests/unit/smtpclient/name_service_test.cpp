// SPDX-License-Identifier: MIT
// shows: smtp_dns_reply_filter smtp_dns_resolver_options mydomain
#include "smtpclient/name_service.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/fake_dns.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpclient {
namespace {

using dns::Status;
using dns::Type;
using Names = std::vector<std::string>;
using namespace std::chrono_literals;

TEST(Completion, OfShortAndLongNames) {
  Options options;
  options.my_domain = "a.b.example";
  EXPECT_EQ(completions("mx", options), Names{"mx"});
  options.complete_names = true; // res_defnames
  EXPECT_EQ(completions("mx", options), (Names{"mx.a.b.example", "mx"}));
  EXPECT_EQ(completions("mx.c", options), Names{"mx.c"});
  options.search_parents = true; // res_dnsrch
  EXPECT_EQ(completions("mx", options), (Names{"mx.a.b.example", "mx.b.example", "mx"}));
  EXPECT_EQ(completions("mx.c", options), (Names{"mx.c", "mx.c.a.b.example", "mx.c.b.example"}));
  options.my_domain = "example";
  EXPECT_EQ(completions("mx", options), (Names{"mx.example", "mx"}));
  options.my_domain.clear();
  EXPECT_EQ(completions("mx", options), Names{"mx"});
}

constexpr std::string_view kZone = R"(
two.example       MX 10 a.example
two.example       MX 20 b.example
a.example         A 192.0.2.1
a.example         A 192.0.2.2
a.example         AAAA 2001:db8::1
mx.b.example      A 192.0.2.3
mx.b.example      MX 10 a.example
shaky.a.b.example TEMPORARY SERVFAIL
_25._tcp.a.example TLSA 3 1 1 00ff
)";

class Asking : public testing::Test {
 protected:
  dns::Answer ask(std::string_view name, Type type) {
    NameService names(loop, dns, filter, options);
    auto answer = test::run_task<Result<dns::Answer>>(
        loop, [&] { return names.query(name, type, loop.after(10s)); });
    EXPECT_TRUE(answer);
    return answer.value();
  }
  void filter_with(std::string_view spec) {
    auto opened = maps::open_maps(spec, {});
    ASSERT_TRUE(opened) << opened.error().text();
    filter = std::move(*opened);
  }
  ev::Loop loop;
  test::FakeDns dns{loop, kZone};
  maps::MapList filter;
  Options options;
};

TEST_F(Asking, WhatIsNoHostNameIsNotAskedFor) {
  for (const auto name : {"192.0.2.1", "a b.example", "a..example", "x.1", "*.example"}) {
    const dns::Answer answer = ask(name, Type::mx);
    EXPECT_EQ(answer.status, Status::no_domain) << name;
    EXPECT_EQ(answer.reason, "invalid host or domain name");
  }
  EXPECT_TRUE(dns.asked().empty());
}

TEST_F(Asking, RecordsOfServicesStandBelowTheirHosts) {
  EXPECT_EQ(ask("_25._tcp.a.example", Type::tlsa).status, Status::ok);
  for (const char* name : {"_25._tcp.a b.example", "_25._tcp.", "_25._tcp", "_", "_.", ""})
    EXPECT_EQ(ask(name, Type::tlsa).status, Status::no_domain) << name;
  dns::Answer answer;
  answer.canonical = "_25._tcp.a.example";
  EXPECT_EQ(record_text(answer, {0, 60, std::string("\3\1\1\0\xff", 5)}, Type::tlsa),
            "_25._tcp.a.example. 60 IN TLSA 3 1 1 00ff");
}

TEST_F(Asking, ShortNamesInThisDomainAndAbove) {
  options.my_domain = "a.b.example";
  EXPECT_EQ(ask("mx", Type::a).status, Status::no_domain);
  options.complete_names = options.search_parents = true;
  EXPECT_EQ(ask("mx", Type::a).canonical, "mx.b.example");
  // As in Postfix a domain's MX is looked for under its own name only.
  EXPECT_EQ(ask("mx", Type::mx).status, Status::no_domain);
  // Trouble is no "not here": the search ends.
  EXPECT_EQ(ask("shaky", Type::a).status, Status::temporary);
  EXPECT_EQ(ask("nowhere", Type::a).status, Status::no_domain);
}

TEST_F(Asking, TheTableSeesRecordsAsText) {
  dns::Answer answer = ask("two.example", Type::mx);
  EXPECT_EQ(record_text(answer, answer.records[0], Type::mx),
            "two.example. 300 IN MX 10 a.example.");
  answer = ask("a.example", Type::a);
  EXPECT_EQ(record_text(answer, answer.records[0], Type::a), "a.example. 300 IN A 192.0.2.1");
  answer = ask("a.example", Type::aaaa);
  EXPECT_EQ(record_text(answer, answer.records[0], Type::aaaa),
            "a.example. 300 IN AAAA 2001:db8::1");
}

TEST_F(Asking, IgnoredRecordsAreGone) {
  filter_with("inline:{ {a.example. 300 IN A 192.0.2.1 = ignore},"
              " {a.example. 300 IN AAAA 2001:db8::1 = IGNORE it} }");
  const dns::Answer one = ask("a.example", Type::a);
  ASSERT_EQ(one.records.size(), 1U);
  EXPECT_EQ(one.records[0].data, std::string("\xc0\0\x02\x02", 4));
  EXPECT_EQ(ask("a.example", Type::aaaa).status, Status::filtered);
  EXPECT_EQ(ask("two.example", Type::mx).records.size(), 2U);
}

TEST_F(Asking, OtherActionsAndFailedLookupsAreTemporary) {
  filter_with("static:DELETE");
  EXPECT_EQ(ask("a.example", Type::a).status, Status::temporary);
  filter_with("texthash:/nonexistent/table");
  const dns::Answer answer = ask("a.example", Type::a);
  EXPECT_EQ(answer.status, Status::temporary);
  EXPECT_TRUE(answer.records.empty());
  EXPECT_NE(answer.reason.find("filter"), std::string::npos);
}

} // namespace
} // namespace postrider::smtpclient

// SPDX-License-Identifier: MIT
#include "smtpclient/login.hpp"

#include <gtest/gtest.h>

#include "smtpclient/auth_memory.hpp"
#include "smtpclient/failure.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpclient {
namespace {

struct Entry {
  std::string_view text, delimiter, user, password, token;
};

// shows: smtp_sasl_password_result_delimiter
TEST(Login, IsReadFromAnEntry) {
  const Entry rows[] = {
      {"joe:secret", ":", "joe", "secret", ""},
      {"joe:a:b:", ":", "joe", "a:b:", ""},
      {"joe", ":", "joe", "", ""},
      {"joe:", ":", "joe", "", ""},
      {":x", ":", "", "x", ""},
      {"joe@example.com:token:gmail", ":", "joe@example.com", "", "gmail"},
      {"joe:TOKEN:gmail", ":", "joe", "TOKEN:gmail", ""},
      {"a:b|c", "|", "a:b", "c", ""},
      {"a||b|c", "||", "a", "b|c", ""},
      {"a|token:t", "|", "a", "", "t"},
      {"joe:x", "", "joe:x", "", ""},
  };
  for (const Entry& row : rows) {
    const Login login = parse_login(row.text, row.delimiter);
    EXPECT_EQ(login.user, row.user) << row.text;
    EXPECT_EQ(login.password.view(), row.password) << row.text;
    EXPECT_EQ(login.token, row.token) << row.text;
  }
}

class FindLogin : public testing::Test {
 protected:
  FindLogin() {
    options.sasl.enabled = true;
    options.address_delimiters = "+";
    options.origin = "here.example";
    hop.name = "relay.example";
    hop.written = "[relay.example]:587";
  }
  void table(const std::string& spec) {
    auto opened = maps::open_maps(spec, {});
    ASSERT_TRUE(opened);
    tables.sasl_passwords = std::move(*opened);
  }
  Result<LoginPtr> find(std::string_view sender) {
    const LoginQuestion question{"4QTest", sender, "mx.example", &hop};
    return test::run_task<Result<LoginPtr>>(
        loop, [&] { return find_login(loop, options, tables, question); });
  }
  std::string user(std::string_view sender) {
    const Result<LoginPtr> login = find(sender);
    if (!login) return "error";
    return *login ? (*login)->user : "none";
  }
  ev::Loop loop;
  Options options;
  Tables tables;
  Nexthop hop;
};

// shows: smtp_sasl_auth_enable smtp_sasl_password_maps
TEST_F(FindLogin, AsksForTheHostThenForTheNextHopAsWritten) {
  table("inline:{mx.example=host:x, {[relay.example]:587=hop:x}, joe@here.example=joe:x}");
  EXPECT_EQ(user("joe@here.example"), "host");
  table("inline:{{[relay.example]:587=hop:x}}");
  EXPECT_EQ(user("joe@here.example"), "hop");
  // Never another form of either.
  table(
      "inline:{relay.example=a:x, [relay.example]=b:x, relay.example:587=c:x, mx.example:587=d:x, "
      "[mx.example]=e:x, example=f:x, .example=g:x}");
  EXPECT_EQ(user("joe@here.example"), "none");
  options.sasl.enabled = false;
  table("static:joe:x");
  EXPECT_EQ(user("joe@here.example"), "none");
}

// shows: smtp_sender_dependent_authentication
TEST_F(FindLogin, AsksForTheSenderFirstWhereToldTo) {
  options.sasl.by_sender = true;
  const std::string all = "joe+list@here.example=1:x, joe@here.example=2:x, joe+list=3:x, joe=4:x, "
                          "@here.example=5:x, mx.example=6:x";
  std::string rest = all;
  for (const char* expected : {"1", "2", "3", "4", "5", "6"}) {
    table("inline:{" + rest + "}");
    EXPECT_EQ(user("joe+list@here.example"), expected) << rest;
    rest = rest.substr(std::min(rest.size(), rest.find(", ") + 2));
  }
  table("inline:{joe=a:x, @other.example=b:x, mx.example=c:x}");
  EXPECT_EQ(user("joe@other.example"), "b"); // a user alone is ours
  EXPECT_EQ(user(""), "c");
  EXPECT_EQ(sender_key(options, "Joe@Here.example"), "joe@here.example");
}

TEST_F(FindLogin, ATableThatCannotBeAskedIsNoStranger) {
  table("fail:broken");
  const Result<LoginPtr> login = find("joe@here.example");
  ASSERT_FALSE(login);
  const Trouble trouble = trouble_from(login.error(), smtp::Step::auth);
  EXPECT_EQ(trouble.cause, Cause::local_data);
  EXPECT_EQ(decide(trouble.cause, trouble.step).verdict, mail::Verdict::deferred);
}

TEST_F(FindLogin, KeysDifferAsTheLoginsDo) {
  const auto key = [&](const std::string& entry, std::string_view sender = "a@b") {
    table("static:" + entry);
    const Result<LoginPtr> login = find(sender);
    return login && *login ? (*login)->key : "none";
  };
  const std::string one = key("joe:secret");
  EXPECT_EQ(key("joe:secret"), one);
  EXPECT_EQ(key("joe:secret", "c@d"), one);
  EXPECT_NE(key("joe:other"), one);
  EXPECT_NE(key("jim:secret"), one);
  EXPECT_NE(key("joe:token:secret"), one);
  EXPECT_EQ(one.find("secret"), std::string::npos);
  options.sasl.by_sender = true;
  EXPECT_NE(key("joe:secret", "a@b"), key("joe:secret", "c@d"));
}

TEST(AuthMemory, ForgetsWhenItIsTimeAndWhenItIsFull) {
  AuthMemory memory;
  const SteadyTime now{};
  const std::string key = AuthMemory::key("MX.example", "joe", "x");
  EXPECT_EQ(key, AuthMemory::key("mx.example", "joe", "x"));
  smtp::Reply reply;
  reply.code = 535;
  memory.refused(key, reply, now + std::chrono::hours(1));
  EXPECT_TRUE(memory.find(key, now));
  EXPECT_FALSE(memory.find(AuthMemory::key("mx.example", "joe", "y"), now));
  EXPECT_FALSE(memory.find(key, now + std::chrono::hours(1)));
  EXPECT_EQ(memory.size(), 0U);
  for (std::size_t i = 0; i <= AuthMemory::kMost; ++i)
    memory.refused(std::to_string(i), reply, now + std::chrono::hours(1));
  memory.refused("5", reply, now + std::chrono::hours(2));
  EXPECT_EQ(memory.size(), AuthMemory::kMost);
  EXPECT_FALSE(memory.find("0", now));
  EXPECT_TRUE(memory.find("5", now + std::chrono::minutes(90)));
}

} // namespace
} // namespace postrider::smtpclient

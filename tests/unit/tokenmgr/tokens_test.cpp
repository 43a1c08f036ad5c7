// SPDX-License-Identifier: MIT
// The life of tokens, with a source and a clock of the test.
#include "tokens.hpp"

#include <fstream>

#include <gtest/gtest.h>

#include "refusals.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"
#include "tls/digest.hpp"

namespace postrider::tokenmgr {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

class TokensTest : public testing::Test {
 protected:
  TokensTest() {
    auto table = maps::open_maps("inline:{a=refresh:/a, c=command:/c, f=file:/f, bad=what}", {});
    EXPECT_TRUE(table);
    sources = std::move(*table);
  }
  ~TokensTest() override { tokens().stop(); }
  Tokens& tokens() {
    if (!made)
      made = std::make_unique<Tokens>(
          loop, std::move(sources),
          [this](ev::Lent<const Source> source, ev::Deadline) { return give(source->path); });
    return *made;
  }
  ev::Task<Result<Grant>> give(std::string_view) {
    ++asked;
    const Result<void> pause = co_await ev::sleep_for(loop, Duration::zero());
    if (!pause) co_return pause.error();
    if (trouble) co_return *trouble;
    Grant grant;
    grant.token = Secret("token" + std::to_string(asked));
    grant.life = life;
    co_return grant;
  }
  std::string get(const std::string& name, const std::string& refused = {}) {
    const std::string digest = refused.empty() ? refused : tls::sha256(refused);
    const Result<Secret> token = test::run_task<Result<Secret>>(
        loop, [&] { return tokens().get(name, digest, loop.after(seconds(20))); });
    return token ? std::string(token->view()) : "error: " + token.error().text();
  }
  void pass(Duration time) {
    clock.advance(time);
    for (int i = 0; i < 5; ++i)
      loop.turn(false);
  }

  test::ManualClock clock;
  ev::Loop loop{clock};
  maps::MapList sources;
  std::unique_ptr<Tokens> made;
  int asked = 0;
  std::optional<seconds> life = seconds(3600);
  std::optional<Error> trouble;
};

TEST_F(TokensTest, AreKeptAndRenewedAheadOfTheirEnd) {
  EXPECT_EQ(get("a"), "token1");
  EXPECT_EQ(get("a"), "token1");
  pass(minutes(44));
  EXPECT_EQ(asked, 1);
  pass(minutes(8)); // 52 of 60
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(get("a"), "token2");
  EXPECT_EQ(asked, 2);
}

TEST_F(TokensTest, AreRenewedOnceADayWhenNobodyAsks) {
  EXPECT_EQ(get("a"), "token1");
  for (int i = 0; i < 48; ++i)
    pass(minutes(52));
  const int busy = asked;
  for (int i = 0; i < 5 * 48; ++i)
    pass(minutes(30));
  EXPECT_GE(asked - busy, 4);
  EXPECT_LE(asked - busy, 7);
}

TEST_F(TokensTest, OfNoLifeAreNotRenewedAllTheTime) {
  life = seconds(0);
  EXPECT_EQ(get("a"), "token1");
  pass(seconds(1));
  EXPECT_EQ(asked, 1);
  pass(Tokens::kFirstPause);
  EXPECT_EQ(asked, 2);
}

TEST_F(TokensTest, AreReplacedWhenAServerRefusesThemButNotAtOnce) {
  EXPECT_EQ(get("a"), "token1");
  EXPECT_EQ(get("a", "token1"), "token1"); // as new as can be
  pass(minutes(2));
  EXPECT_EQ(get("a", "another"), "token1"); // replaced meanwhile
  EXPECT_EQ(get("a", "token1"), "token2");
  EXPECT_EQ(get("a", "token1"), "token2");
  EXPECT_EQ(asked, 2);
}

TEST_F(TokensTest, OfCommandsAreGotWhenAsked) {
  life.reset();
  EXPECT_EQ(get("c"), "token1");
  pass(minutes(4));
  EXPECT_EQ(get("c"), "token1");
  pass(minutes(1));
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(get("c"), "token2");
}

TEST_F(TokensTest, OfFilesAreReadEachTime) {
  EXPECT_EQ(get("f"), "token1");
  EXPECT_EQ(get("f"), "token2");
  trouble = Error(ErrorKind::not_found, "no file");
  EXPECT_EQ(get("f"), "error: no file");
  trouble.reset();
  EXPECT_EQ(get("f"), "token4");
}

TEST_F(TokensTest, ThatCannotBeHadAreTriedAgainAfterAPause) {
  trouble = Error(ErrorKind::refused, "invalid_grant");
  EXPECT_EQ(get("a"), "error: invalid_grant");
  EXPECT_EQ(get("a"), "error: invalid_grant");
  EXPECT_EQ(asked, 1);
  pass(Tokens::kFirstPause);
  EXPECT_EQ(asked, 2);
  pass(Tokens::kFirstPause);
  EXPECT_EQ(asked, 2); // the pause has grown
  for (int i = 0; i < 100; ++i)
    pass(minutes(10));
  EXPECT_LE(asked, 30);
  trouble.reset();
  pass(hours(1));
  EXPECT_EQ(get("a"), "token" + std::to_string(asked));
}

TEST_F(TokensTest, StayGoodWhileTheyCannotBeRenewed) {
  EXPECT_EQ(get("a"), "token1");
  trouble = Error(ErrorKind::timeout, "no answer");
  pass(minutes(52));
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(get("a"), "token1");
  pass(minutes(6)); // 58 of 60
  EXPECT_EQ(get("a"), "error: no answer");
}

TEST_F(TokensTest, UnknownNamesAndSourcesAreErrors) {
  EXPECT_EQ(get("x"), "error: oauth_token_sources has no entry for it");
  EXPECT_EQ(get("bad").substr(0, 26), "error: oauth_token_sources");
  EXPECT_EQ(asked, 0);
}

TEST(RefusalsTest, SurviveARestartUntilTheirTime) {
  const test::ScratchDir dir;
  const std::string path = dir.path() + "/refused";
  const WallTime now = from_unix_micros(1'000'000'000'000'000);
  {
    auto refusals = Refusals::open(path, now);
    ASSERT_TRUE(refusals) << refusals.error().text();
    ASSERT_TRUE(refusals->add("key", "535 no", now + hours(2)));
    EXPECT_EQ(refusals->find("key", now), "535 no");
    EXPECT_EQ(refusals->find("other", now), std::nullopt);
    EXPECT_EQ(refusals->find("key", now + hours(2)), std::nullopt);
  }
  {
    auto refusals = Refusals::open(path, now + hours(1));
    ASSERT_TRUE(refusals);
    EXPECT_EQ(refusals->find("key", now + hours(1)), "535 no");
  }
  {
    auto refusals = Refusals::open(path, now + hours(3));
    ASSERT_TRUE(refusals);
    EXPECT_EQ(refusals->find("key", now), std::nullopt); // swept
  }
}

TEST(RefusalsTest, BeginAnewWithAFileThatIsNoneOrThatEndedTheLastOne) {
  const test::ScratchDir dir;
  const std::string path = dir.path() + "/refused";
  const WallTime now = from_unix_micros(1'000'000'000'000'000);
  std::ofstream(path) << std::string(100000, 'x');
  for (int i = 0; i < 2; ++i) {
    auto refusals = Refusals::open(path, now);
    ASSERT_TRUE(refusals) << refusals.error().text();
    EXPECT_EQ(refusals->find("key", now), std::nullopt);
    ASSERT_TRUE(refusals->add("key", "535 no", now + hours(1)));
    std::ofstream(path + "-reading") << "";
  }
}

} // namespace
} // namespace postrider::tokenmgr

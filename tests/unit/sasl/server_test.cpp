// SPDX-License-Identifier: MIT
// Logins against the mechanisms that are installed, with a password database of our own, and with
// what a hostile client may say.
#include "sasl/server.hpp"

#include <fstream>
#include <random>
#include <sasl/sasl.h>
// after it
#include <sasl/saslplug.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sasl/client.hpp"
#include "sasl/cyrus.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::sasl {
namespace {

using testing::Contains;
using testing::Not;

constexpr std::string_view kPassword = "tanstaaftanstaaf";
const std::vector<std::string> kMechanisms = {"PLAIN",      "LOGIN",       "CRAM-MD5",
                                              "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"};

// The database: whom it was asked for, and one account.
struct Database {
  std::vector<std::string> asked;
  int code = SASL_OK;
} database;

int look_up(void*, sasl_server_params_t* params, unsigned, const char* user, unsigned length) {
  const std::string name(user, length);
  database.asked.push_back(name);
  if (database.code != SASL_OK) return database.code;
  if (name != "joe" && name != "joe@realm.example") return SASL_NOUSER;
  const propval* wanted = params->utils->prop_get(params->propctx);
  for (; wanted != nullptr && wanted->name != nullptr; ++wanted)
    if (std::string_view(wanted->name) == "*userPassword" ||
        std::string_view(wanted->name) == "userPassword")
      params->utils->prop_set(params->propctx, wanted->name, kPassword.data(),
                              static_cast<int>(kPassword.size()));
  return SASL_OK;
}

int database_plugin(const sasl_utils_t*, int, int* version, sasl_auxprop_plug_t** plugin,
                    const char*) {
  static sasl_auxprop_plug_t plug{};
  static char name[] = "test";
  plug.name = name;
  plug.auxprop_lookup = look_up;
  *version = SASL_AUXPROP_PLUG_VERSION;
  *plugin = &plug;
  return SASL_OK;
}

bool initialize() {
  test::ScratchDir dir;
  std::ofstream(dir.path() + "/smtpd.conf") << "pwcheck_method: auxprop\nauxprop_plugin: "
                                               "test\nmech_list: PLAIN LOGIN CRAM-MD5 DIGEST-MD5 "
                                               "SCRAM-SHA-1 SCRAM-SHA-256 EXTERNAL ANONYMOUS\n";
  sasl_auxprop_add_plugin("test", database_plugin);
  return Exchange::initialize("smtpd", dir.path()).ok() && Client::initialize("").ok();
}

class SaslServer : public testing::Test {
 protected:
  SaslServer() {
    static const bool ready = initialize();
    EXPECT_TRUE(ready);
    database = {};
    facts.hostname = "mail.example";
    facts.client = "192.0.2.7";
    facts.security = {"noanonymous"};
  }
  // The dialogue with a client that knows this name and password.
  ServerStep log_in(const std::string& mechanism, const std::string& user,
                    std::string_view password, std::size_t cut = std::string::npos) {
    Dialogue dialogue;
    dialogue.server = "mail.example";
    dialogue.mechanisms = {mechanism};
    dialogue.identity.user = user;
    dialogue.identity.password = Secret(password);
    Cyrus client(dialogue);
    const Cyrus::Step begun = client.start(mechanism);
    EXPECT_FALSE(Cyrus::failed(begun)) << mechanism;
    Exchange exchange(facts, admit);
    std::optional<std::string_view> initial;
    if (begun.has_output) initial = begun.output.view().substr(0, cut);
    longest = needed = 0;
    note(begun.output.view());
    ServerStep step = exchange.start(mechanism, initial);
    for (int rounds = 0; step.stage == Stage::challenge && rounds < 10; ++rounds) {
      const Cyrus::Step answer = client.step(step.challenge.view());
      note(answer.output.view());
      step = exchange.step(answer.output.view().substr(0, cut));
    }
    return step;
  }
  void note(std::string_view message) {
    if (message.size() <= longest) return;
    longest = message.size();
    const std::size_t at = message.find("response=");
    if (at != std::string_view::npos) needed = at + 9 + 32;
  }
  ServerStep plain(std::string_view response) {
    Exchange exchange(facts, admit);
    return exchange.start("PLAIN", response);
  }

  ServerFacts facts;
  Exchange::Admit admit = [this](const std::string& account) {
    admitted.push_back(account);
    return may;
  };
  std::vector<std::string> admitted;
  bool may = true;
  std::size_t longest = 0; // of the client's messages
  std::size_t needed = 0;  // of it, up to the digest
};

TEST_F(SaslServer, EachMechanismLogsIn) {
  for (const std::string& mechanism : kMechanisms) {
    admitted.clear();
    const ServerStep step = log_in(mechanism, "joe", kPassword);
    EXPECT_EQ(step.stage, Stage::done) << mechanism << ": " << step.reason << step.trouble;
    EXPECT_EQ(step.username.substr(0, 3), "joe") << mechanism;
    EXPECT_EQ(admitted.size(), 1U) << mechanism;
    EXPECT_FALSE(step.guess);
  }
}

TEST_F(SaslServer, ANameWithoutARealmGetsOurs) {
  facts.realm = "realm.example";
  const ServerStep step = log_in("PLAIN", "joe", kPassword);
  EXPECT_EQ(step.stage, Stage::done);
  EXPECT_EQ(step.username, "joe@realm.example");
  EXPECT_THAT(admitted, testing::ElementsAre("joe@realm.example"));
}

TEST_F(SaslServer, NobodyLearnsWhichAccountsExist) {
  for (const std::string& mechanism : kMechanisms) {
    const ServerStep wrong = log_in(mechanism, "joe", "wrong");
    const ServerStep unknown = log_in(mechanism, "nobody", kPassword);
    for (const ServerStep* step : {&wrong, &unknown}) {
      EXPECT_EQ(step->stage, Stage::refused) << mechanism;
      EXPECT_EQ(step->reason, "authentication failure") << mechanism;
      EXPECT_TRUE(step->guess) << mechanism;
      EXPECT_TRUE(step->username.empty());
      EXPECT_EQ(step->trouble.find("wrong"), std::string::npos) << "a password";
    }
    EXPECT_EQ(wrong.account.substr(0, 3), "joe") << mechanism;
    EXPECT_EQ(unknown.account.substr(0, 6), "nobody") << mechanism;
  }
}

TEST_F(SaslServer, WhoMayNotTryIsNotLookedUp) {
  may = false;
  for (const std::string& mechanism : kMechanisms) {
    const ServerStep step = log_in(mechanism, "joe", kPassword);
    EXPECT_EQ(step.stage, Stage::forbidden) << mechanism;
    EXPECT_FALSE(step.guess);
    EXPECT_EQ(step.account.substr(0, 3), "joe");
  }
  EXPECT_TRUE(database.asked.empty()) << database.asked.front();
}

TEST_F(SaslServer, ADatabaseThatFailsIsNoRefusal) {
  for (const int code : {SASL_UNAVAIL, SASL_FAIL, SASL_TRYAGAIN, SASL_NOMEM, SASL_CONFIGERR}) {
    database.code = code;
    for (const std::string& mechanism : kMechanisms) {
      const ServerStep step = log_in(mechanism, "joe", kPassword);
      EXPECT_EQ(step.stage, Stage::failed) << mechanism << ": " << step.reason << code;
      EXPECT_FALSE(step.guess);
    }
  }
}

// A2: NULs, and pieces that are missing or too many.
TEST_F(SaslServer, MalformedPlainIsRefused) {
  using namespace std::string_view_literals;
  for (const std::string_view response :
       {""sv, "\0"sv, "\0\0"sv, "\0\0\0"sv, "\0\0\0\0"sv, "joe"sv, "joe\0"sv, "\0joe"sv,
        "\0joe\0"sv, "joe\0joe"sv, "joe\0joe\0"sv, "\0\0tanstaaftanstaaf"sv, "\0joe\0tan\0staaf"sv,
        "\0joe\0tanstaaftanstaaf\0"sv, "x\0joe\0tanstaaftanstaaf"sv}) {
    const ServerStep step = plain(response);
    EXPECT_NE(step.stage, Stage::done) << testing::PrintToString(response);
    EXPECT_NE(step.stage, Stage::failed) << testing::PrintToString(response) << step.reason;
  }
  EXPECT_EQ(plain("\0joe\0tanstaaftanstaaf"sv).stage, Stage::done);
  EXPECT_EQ(plain("joe\0joe\0tanstaaftanstaaf"sv).stage, Stage::done);
}

// A5: what is no name goes to no database.
TEST_F(SaslServer, HostileNamesGoNowhere) {
  for (const std::string& name :
       {std::string("joe\nroot"), std::string("joe\r\n"), std::string("joe\x01"),
        std::string("\x7f"), std::string("jo\xff"), std::string("\xc0\xaf"), std::string("joe\t"),
        std::string(256, 'a'), std::string(64 * 1024, 'a')}) {
    for (const std::string& mechanism : {std::string("PLAIN"), std::string("LOGIN")}) {
      Exchange exchange(facts, admit);
      ServerStep step;
      if (mechanism == "PLAIN") {
        std::string response = std::string(1, 0) + name + std::string(1, 0) + "x";
        step = exchange.start(mechanism, response);
      } else {
        step = exchange.start(mechanism, std::nullopt);
        ASSERT_EQ(step.stage, Stage::challenge);
        step = exchange.step(name);
        if (step.stage == Stage::challenge) step = exchange.step("x");
      }
      EXPECT_EQ(step.stage, Stage::refused) << mechanism << testing::PrintToString(name);
      EXPECT_TRUE(step.account.empty());
    }
  }
  EXPECT_TRUE(database.asked.empty());
  EXPECT_TRUE(admitted.empty());
}

// The database gets them as they are, and quotes them as it needs.
TEST_F(SaslServer, WordsOfOtherLanguagesStayWords) {
  for (const std::string& name :
       {std::string("joe'; DROP TABLE users; --"), std::string("*)(uid=*"), std::string("$(id)"),
        std::string("../joe"), std::string("%n%s"), std::string("j\u00f6e")}) {
    database.asked.clear();
    const std::string response = std::string(1, 0) + name + std::string(1, 0) + "x";
    EXPECT_EQ(plain(response).stage, Stage::refused) << name;
    EXPECT_THAT(database.asked, Contains(name));
  }
}

TEST_F(SaslServer, ADialogueCutAnywhereLogsNobodyIn) {
  for (const std::string& mechanism : kMechanisms) {
    ASSERT_EQ(log_in(mechanism, "joe", kPassword).stage, Stage::done);
    // Those of DIGEST-MD5 say at their end what no server needs to know.
    const std::size_t all = mechanism == "DIGEST-MD5" ? needed : longest;
    ASSERT_GT(all, 10U);
    for (std::size_t cut = 0; cut < all; ++cut)
      EXPECT_NE(log_in(mechanism, "joe", kPassword, cut).stage, Stage::done)
          << mechanism << " cut at " << cut;
  }
}

TEST_F(SaslServer, NoiseLogsNobodyIn) {
  std::mt19937 random(5);
  for (const std::string& mechanism : kMechanisms) {
    for (int i = 0; i < 200; ++i) {
      Exchange exchange(facts, admit);
      const auto noise = [&] {
        std::string out(random() % 300, 0);
        for (char& c : out)
          c = static_cast<char>(random());
        return out;
      };
      const std::string initial = noise();
      ServerStep step = random() % 2 == 0 ? exchange.start(mechanism, std::nullopt)
                                          : exchange.start(mechanism, initial);
      for (int rounds = 0; step.stage == Stage::challenge && rounds < 4; ++rounds)
        step = exchange.step(noise());
      EXPECT_NE(step.stage, Stage::done) << mechanism;
    }
  }
}

// A1: each attempt has a connection of its own.
TEST_F(SaslServer, OneMechanismAfterAnother) {
  for (int i = 0; i < 100; ++i) {
    const std::string& mechanism = kMechanisms[static_cast<std::size_t>(i) % kMechanisms.size()];
    EXPECT_EQ(log_in(mechanism, "joe", "wrong").stage, Stage::refused) << mechanism;
  }
  EXPECT_EQ(log_in("SCRAM-SHA-1", "joe", kPassword).stage, Stage::done);
}

TEST_F(SaslServer, SecurityOptionsForbid) {
  const auto offered = [&] { return *Exchange::mechanisms(facts); };
  EXPECT_THAT(offered(), Contains("PLAIN"));
  EXPECT_THAT(offered(), Contains("SCRAM-SHA-256"));
  EXPECT_THAT(offered(), Not(Contains("ANONYMOUS")));
  EXPECT_THAT(offered(), Not(Contains("EXTERNAL")));
  Exchange anonymous(facts, admit);
  EXPECT_EQ(anonymous.start("ANONYMOUS", "trace").stage, Stage::refused);
  facts.security = {"noanonymous", "noplaintext"};
  EXPECT_THAT(offered(), Not(Contains("PLAIN")));
  EXPECT_THAT(offered(), Not(Contains("LOGIN")));
  EXPECT_THAT(offered(), Contains("CRAM-MD5"));
  EXPECT_EQ(log_in("PLAIN", "joe", kPassword).stage, Stage::refused);
  facts.security = {};
  EXPECT_THAT(offered(), Contains("ANONYMOUS"));
}

TEST_F(SaslServer, ExternalIsWhomTlsKnows) {
  Exchange nobody(facts, admit);
  EXPECT_EQ(nobody.start("EXTERNAL", "joe").stage, Stage::refused);
  facts.external = "joe";
  EXPECT_THAT(*Exchange::mechanisms(facts), Contains("EXTERNAL"));
  Exchange self(facts, admit);
  const ServerStep step = self.start("EXTERNAL", "");
  EXPECT_EQ(step.stage, Stage::done) << step.reason;
  EXPECT_EQ(step.username, "joe");
  Exchange other(facts, admit);
  EXPECT_EQ(other.start("EXTERNAL", "root").stage, Stage::refused);
}

TEST_F(SaslServer, UnknownMechanismsAreRefused) {
  for (const char* name : {"X-NONE", "PLAIN2", "GSSAPI", "-"}) {
    Exchange exchange(facts, admit);
    const ServerStep step = exchange.start(name, std::nullopt);
    EXPECT_EQ(step.stage, Stage::refused) << name;
    EXPECT_FALSE(step.guess);
  }
}

} // namespace
} // namespace postrider::sasl

// SPDX-License-Identifier: MIT
// Dialogues with the plug-ins that are installed, with a hostile server's words, and with a plug-in
// that blocks.
#include "sasl/client.hpp"

#include <condition_variable>
#include <mutex>
#include <sasl/sasl.h>
// after it
#include <sasl/saslplug.h>

#include <gtest/gtest.h>

#include "support/run_task.hpp"

// One plug-in forgets the first nonce of a challenge with two, the other a name that it refuses.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libdigestmd5.so\nleak:liblogin.so\n";
}

namespace postrider::sasl {
namespace {

// A mechanism whose start waits until it is let go.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool entered = false;
  bool open = false;
  int disposed = 0;
} gate;

int slow_new(void*, sasl_client_params_t*, void** context) {
  *context = &gate;
  return SASL_OK;
}
int slow_step(void*, sasl_client_params_t*, const char*, unsigned, sasl_interact_t**,
              const char** out, unsigned* length, sasl_out_params_t*) {
  std::unique_lock lock(gate.mutex);
  gate.entered = true;
  gate.changed.notify_all();
  gate.changed.wait(lock, [] { return gate.open; });
  *out = "late";
  *length = 4;
  return SASL_OK;
}
void slow_dispose(void*, const sasl_utils_t*) {
  const std::lock_guard lock(gate.mutex);
  ++gate.disposed;
  gate.changed.notify_all();
}
int slow_plugin(const sasl_utils_t*, int, int* version, sasl_client_plug_t** plugins, int* count) {
  static sasl_client_plug_t plugin{};
  plugin.mech_name = "X-SLOW";
  plugin.security_flags = SASL_SEC_NOANONYMOUS;
  plugin.features = SASL_FEAT_WANT_CLIENT_FIRST;
  plugin.mech_new = slow_new;
  plugin.mech_step = slow_step;
  plugin.mech_dispose = slow_dispose;
  *version = SASL_CLIENT_PLUG_VERSION;
  *plugins = &plugin;
  *count = 1;
  return SASL_OK;
}

Dialogue dialogue(std::vector<std::string> mechanisms, std::vector<std::string> security = {}) {
  static const bool ready = [] {
    return Client::initialize("").ok() && sasl_client_add_plugin("X-SLOW", slow_plugin) == SASL_OK;
  }();
  EXPECT_TRUE(ready);
  Dialogue d;
  d.server = "mx.example";
  d.port = 587;
  d.mechanisms = std::move(mechanisms);
  d.security = std::move(security);
  d.identity.user = "tim";
  d.identity.password = Secret("tanstaaftanstaaf");
  return d;
}

class SaslClient : public testing::Test {
 protected:
  Result<Client::Begun> begin(Client& client) {
    return test::run_task<Result<Client::Begun>>(
        loop, [&] { return client.begin(loop.after(std::chrono::seconds(20))); });
  }
  Result<Secret> respond(Client& client, std::string_view challenge) {
    return test::run_task<Result<Secret>>(
        loop, [&] { return client.respond(challenge, loop.after(std::chrono::seconds(20))); });
  }
  // The mechanism, or the error.
  std::string chosen(Dialogue d) {
    Client client(offload, std::move(d));
    const Result<Client::Begun> begun = begin(client);
    return begun ? begun->mechanism
                 : std::string(to_string(begun.error().kind())) + ": " + begun.error().text();
  }
  ev::Loop loop;
  ev::Offload offload{loop};
};

TEST_F(SaslClient, PlainIsThroughAtOnce) {
  Client client(offload, dialogue({"LOGIN", "plain"}));
  const Result<Client::Begun> begun = begin(client);
  ASSERT_TRUE(begun) << begun.error().text();
  EXPECT_EQ(begun->mechanism, "PLAIN");
  ASSERT_TRUE(begun->initial);
  EXPECT_EQ(begun->initial->view(), std::string_view("\0tim\0tanstaaftanstaaf", 21));
  EXPECT_TRUE(client.finish());
  EXPECT_EQ(respond(client, "more?").error().kind(), ErrorKind::protocol);
}

TEST_F(SaslClient, PlainNamesWhomToActAs) {
  Dialogue d = dialogue({"PLAIN"});
  d.identity.authorize_as = "tim";
  Client client(offload, std::move(d));
  const Result<Client::Begun> begun = begin(client);
  ASSERT_TRUE(begun && begun->initial);
  EXPECT_EQ(begun->initial->view(), std::string_view("tim\0tim\0tanstaaftanstaaf", 24));
}

TEST_F(SaslClient, LoginWaitsForItsTwoQuestions) {
  Client client(offload, dialogue({"LOGIN"}));
  const Result<Client::Begun> begun = begin(client);
  ASSERT_TRUE(begun);
  EXPECT_FALSE(begun->initial);
  EXPECT_FALSE(client.finish());
  EXPECT_EQ(respond(client, "Username:").value().view(), "tim");
  EXPECT_FALSE(client.finish()); // a yes that comes too early
  EXPECT_EQ(respond(client, "Password:").value().view(), "tanstaaftanstaaf");
  EXPECT_TRUE(client.finish());
}

TEST_F(SaslClient, CramMd5AsInItsStandard) { // RFC 2195 section 2
  Client client(offload, dialogue({"CRAM-MD5"}, {"noplaintext"}));
  const Result<Client::Begun> begun = begin(client);
  ASSERT_TRUE(begun);
  EXPECT_FALSE(begun->initial);
  const Result<Secret> answer = respond(client, "<1896.697170952@postoffice.reston.mci.net>");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->view(), "tim b913a602c7eda7a495b4e6e7334d3890");
  EXPECT_TRUE(client.finish());
}

// The server must prove that it knows the password; a yes before that is none.
TEST_F(SaslClient, ScramInsistsOnTheServersProof) {
  Client client(offload, dialogue({"SCRAM-SHA-256", "PLAIN"}, {"noplaintext", "mutual_auth"}));
  const Result<Client::Begun> begun = begin(client);
  ASSERT_TRUE(begun) << begun.error().text();
  EXPECT_EQ(begun->mechanism, "SCRAM-SHA-256");
  ASSERT_TRUE(begun->initial);
  const std::string first(begun->initial->view());
  const std::string nonce = first.substr(first.find("r=") + 2);
  EXPECT_EQ(client.finish().error().kind(), ErrorKind::protocol);
  const Result<Secret> proof =
      respond(client, "r=" + nonce + "server,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
  ASSERT_TRUE(proof) << proof.error().text();
  EXPECT_FALSE(client.finish());
  EXPECT_EQ(respond(client, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").error().kind(),
            ErrorKind::protocol);
  EXPECT_FALSE(client.finish());
}

struct Choice {
  std::vector<std::string> offered, security;
  bool certificate;
  std::string chosen;
};

TEST_F(SaslClient, ChoosesWithinTheRules) {
  const std::string none = "not_found: no mechanism available";
  const Choice rows[] = {
      {{"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"}, {"noplaintext"}, false, "DIGEST-MD5"},
      {{"PLAIN", "LOGIN"}, {"noplaintext", "noanonymous"}, false, none},
      {{"PLAIN", "CRAM-MD5"}, {"nodictionary"}, false, none},
      {{"PLAIN", "CRAM-MD5"}, {"mutual_auth"}, false, none},
      {{"PLAIN", "CRAM-MD5"}, {"noactive", "noplaintext"}, false, none},
      {{"ANONYMOUS"}, {"noanonymous"}, false, none},
      {{"EXTERNAL"}, {"noanonymous"}, false, none},
      {{"EXTERNAL"}, {"noanonymous", "noplaintext"}, true, "EXTERNAL"},
      {{"XOAUTH2", "OAUTHBEARER"}, {}, false, none}, // a password is no token
      {{}, {}, false, none},
      {{"", "PLAIN PLAIN", std::string(21, 'A'), "A\r\nB", std::string("PL\0AIN", 6)},
       {},
       false,
       none},
      {std::vector<std::string>(5000, "X-NOTHING"), {}, false, none},
  };
  for (const Choice& row : rows) {
    Dialogue d = dialogue(row.offered, row.security);
    d.client_certificate = row.certificate;
    EXPECT_EQ(chosen(std::move(d)), row.chosen) << testing::PrintToString(row.offered);
  }
}

TEST_F(SaslClient, ATokenGoesByItsOwnMechanismsOnly) {
  Dialogue d = dialogue({"PLAIN", "XOAUTH2"});
  d.identity.has_token = true;
  Client client(offload, d);
  const Result<Client::Begun> begun = begin(client);
  ASSERT_TRUE(begun && begun->initial);
  EXPECT_EQ(begun->initial->view(), "user=tim\x01"
                                    "auth=Bearer tanstaaftanstaaf\x01\x01");
  EXPECT_TRUE(client.finish());
  // The challenge says why not: it is answered so that the failure can be read.
  EXPECT_EQ(respond(client, "{\"status\":\"401\"}\n").value().view(), "");
  EXPECT_EQ(client.explanation(), "{\"status\":\"401\"}?");
  EXPECT_FALSE(client.finish());
  EXPECT_FALSE(respond(client, "again"));

  d.mechanisms = {"PLAIN", "LOGIN", "CRAM-MD5"};
  EXPECT_EQ(chosen(std::move(d)), "not_found: no mechanism available");
}

TEST_F(SaslClient, RefusesHostileChallenges) {
  for (const char* mechanism : {"SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5"}) {
    Client client(offload, dialogue({mechanism}));
    ASSERT_TRUE(begin(client)) << mechanism;
    EXPECT_EQ(respond(client, std::string(Client::kMost + 1, 'a')).error().kind(),
              ErrorKind::limit);
  }
  for (const char* mechanism : {"SCRAM-SHA-1", "SCRAM-SHA-256", "DIGEST-MD5"})
    for (const std::string& challenge :
         {std::string(), std::string(Client::kMost, 'a'), std::string(1000, '\0'),
          std::string("r=,s=,i="), std::string("r=x,s=QQ==,i=-1"), std::string("realm=\""),
          std::string("nonce=\"a\",nonce=\"b\",qop=\"auth\""),
          std::string("\xff\xfe=\x01,,,===")}) {
      Client client(offload, dialogue({mechanism}));
      ASSERT_TRUE(begin(client)) << mechanism;
      EXPECT_FALSE(respond(client, challenge)) << mechanism << " " << challenge.substr(0, 50);
      EXPECT_FALSE(client.finish());
    }
}

// The loop goes on, the wait ends with its deadline, and what the job works on lives until the job
// ends, though the object is gone.
TEST_F(SaslClient, APlugInThatBlocksHoldsUpNobody) {
  {
    Client client(offload, dialogue({"X-SLOW"}));
    const Result<Client::Begun> begun = test::run_task<Result<Client::Begun>>(
        loop, [&] { return client.begin(loop.after(std::chrono::milliseconds(50))); });
    ASSERT_FALSE(begun);
    EXPECT_EQ(begun.error().kind(), ErrorKind::timeout);
    {
      std::unique_lock lock(gate.mutex);
      gate.changed.wait(lock, [] { return gate.entered; });
    }
    EXPECT_EQ(respond(client, "x").error().kind(), ErrorKind::protocol); // not while one runs
    Client other(offload, dialogue({"PLAIN"}));
    EXPECT_TRUE(begin(other));
  }
  std::unique_lock lock(gate.mutex);
  EXPECT_EQ(gate.disposed, 0);
  gate.open = true;
  gate.changed.notify_all();
  while (gate.disposed == 0) {
    lock.unlock();
    loop.turn(false);
    lock.lock();
    gate.changed.wait_for(lock, std::chrono::milliseconds(1), [] { return gate.disposed > 0; });
  }
  EXPECT_EQ(gate.disposed, 1);
}

} // namespace
} // namespace postrider::sasl

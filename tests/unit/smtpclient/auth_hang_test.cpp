// SPDX-License-Identifier: MIT
// SASL plug-ins that do not come back: who asks for a login then is told so at once.
#include <condition_variable>
#include <mutex>
#include <sasl/sasl.h>
// after it
#include <sasl/saslplug.h>

#include <gtest/gtest.h>

#include "smtpclient/authenticate.hpp"
#include "support/run_task.hpp"
#include "support/script.hpp"

namespace postrider::smtpclient {
namespace {

using namespace std::chrono_literals;
using test::Script;
using test::ScriptStream;

// A mechanism whose start waits until it is let go.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  int inside = 0;
  bool open = false;
  int disposed = 0;
} gate;

int hang_new(void*, sasl_client_params_t*, void** context) {
  *context = &gate;
  return SASL_OK;
}
int hang_step(void*, sasl_client_params_t*, const char*, unsigned, sasl_interact_t**,
              const char** out, unsigned* length, sasl_out_params_t*) {
  std::unique_lock lock(gate.mutex);
  ++gate.inside;
  gate.changed.notify_all();
  gate.changed.wait(lock, [] { return gate.open; });
  --gate.inside;
  *out = "late";
  *length = 4;
  return SASL_OK;
}
void hang_dispose(void*, const sasl_utils_t*) {
  const std::lock_guard lock(gate.mutex);
  ++gate.disposed;
  gate.changed.notify_all();
}
int hang_plugin(const sasl_utils_t*, int, int* version, sasl_client_plug_t** plugins, int* count) {
  static sasl_client_plug_t plugin{};
  plugin.mech_name = "X-HANGS";
  plugin.security_flags = SASL_SEC_NOANONYMOUS;
  plugin.features = SASL_FEAT_WANT_CLIENT_FIRST;
  plugin.mech_new = hang_new;
  plugin.mech_step = hang_step;
  plugin.mech_dispose = hang_dispose;
  *version = SASL_CLIENT_PLUG_VERSION;
  *plugins = &plugin;
  *count = 1;
  return SASL_OK;
}

class AuthHang : public testing::Test {
 protected:
  AuthHang() {
    options.sasl.enabled = true;
    EXPECT_TRUE(sasl::Client::initialize("").ok());
    EXPECT_EQ(sasl_client_add_plugin("X-HANGS", hang_plugin), SASL_OK);
  }
  // The reason that the log would give; empty: logged in.
  std::string log_in(const std::string& mechanism, const Script& script = {}) {
    Session session(loop, std::make_unique<ScriptStream>(script, ScriptStream::Mode{}), options,
                    tables, {"mx", "192.0.2.1", 25});
    smtp::Features features;
    features.auth = mechanism;
    session.set_features(features);
    auto known = std::make_shared<Login>();
    known->user = "tim";
    known->password = Secret("tanstaaf");
    known->key = "key";
    const LoginPtr login = std::move(known); // outlives the task, which holds a reference
    const auto trouble = test::run_task<std::optional<Trouble>>(
        loop, [&] { return authenticator.log_in(session, login); });
    if (!trouble) return {};
    EXPECT_EQ(to_outcome(*trouble, session.peer()).verdict, mail::Verdict::deferred);
    EXPECT_EQ(to_outcome(*trouble, session.peer()).dsn, "4.7.0");
    return to_outcome(*trouble, session.peer()).text;
  }

  Options options;
  Tables tables;
  ev::Loop loop;
  ev::Offload plugins{loop, {.threads = Authenticator::kPluginThreads}};
  Authenticator authenticator{loop, plugins, options, tables};
};

constexpr std::string_view kCannot =
    "SASL authentication failed; cannot authenticate to server mx[192.0.2.1]: ";

TEST_F(AuthHang, TwoThatDoNotComeBackHoldUpNobodyElse) {
  const Script plain = {test::expect("AUTH PLAIN AHRpbQB0YW5zdGFhZg=="), test::send("235 ok\r\n")};
  auto& limit = options.timeouts[static_cast<std::size_t>(smtp::Step::auth)];
  limit = 50ms;
  for (std::size_t i = 1; i <= Authenticator::kPluginThreads; ++i) {
    EXPECT_EQ(log_in("X-HANGS"), std::string(kCannot) + "a SASL plug-in gave no answer");
    std::unique_lock lock(gate.mutex);
    gate.changed.wait(lock, [&] { return gate.inside == static_cast<int>(i); });
  }
  // Without a wait, and for each mechanism: no thread is left.
  limit = std::chrono::hours(1);
  EXPECT_EQ(log_in("X-HANGS"), std::string(kCannot) + "SASL plug-ins do not come back");
  EXPECT_EQ(log_in("PLAIN"), std::string(kCannot) + "SASL plug-ins do not come back");
  {
    std::unique_lock lock(gate.mutex);
    gate.open = true;
    gate.changed.notify_all();
    gate.changed.wait(lock, [] { return gate.disposed == 2; });
  }
  loop.turn(false);
  EXPECT_EQ(log_in("PLAIN", plain), "");
}

} // namespace
} // namespace postrider::smtpclient

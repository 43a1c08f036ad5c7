// SPDX-License-Identifier: MIT
// AUTH against scripted servers, honest and hostile ones, whole and byte by byte.
#include "smtpclient/authenticate.hpp"

#include <functional>
#include <sasl/sasl.h>
// after it
#include <sasl/saslplug.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/base64.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"
#include "support/run_task.hpp"
#include "support/script.hpp"

namespace postrider::smtpclient {
namespace {

using test::close_now;
using test::expect;
using test::Script;
using test::ScriptStream;
using test::send;
using test::stall;

constexpr std::string_view kPassword = "tanstaaftanstaaf";
const std::string kPlain = to_base64(std::string_view("\0tim\0tanstaaftanstaaf", 21));

struct Setting {
  Options options;
  Tables tables;
  Session::Protection protection{.tls = true, .verified = true};
  std::string auth = "PLAIN LOGIN CRAM-MD5";
  Login login;
  Setting() {
    options.sasl.enabled = true;
    options.sasl.security = {"noplaintext", "noanonymous"};
    options.sasl.tls_security = {"noanonymous", "nodictionary"};
    options.sasl.verified_security = {"noanonymous"};
    login.user = "tim";
    login.password = Secret(kPassword);
    login.key = "key";
    EXPECT_TRUE(initialized());
  }
  static bool initialized() {
    static const bool ok = sasl::Client::initialize("").ok();
    return ok;
  }
};
using Change = std::function<void(Setting&)>;

struct Done {
  std::optional<Trouble> trouble;
  bool logged_in = false;
  std::string text, dsn, problem, transcript;
  bool all_played = false;
};

class Auth : public testing::Test {
 protected:
  Done log_in(const Script& script, const Change& change = {}, std::size_t piece = 1 << 20) {
    Setting setting;
    if (change) change(setting);
    Authenticator authenticator(loop, offload, setting.options, setting.tables);
    return log_in_with(authenticator, setting, script, piece);
  }
  Done log_in_with(Authenticator& authenticator, Setting& setting, const Script& script,
                   std::size_t piece = 1 << 20) {
    setting.options.notify_classes = {"protocol"};
    auto stream = std::make_unique<ScriptStream>(script, ScriptStream::Mode{.piece = piece});
    ScriptStream* server = stream.get();
    Session session(loop, std::move(stream), setting.options, setting.tables,
                    {"mx", "192.0.2.1", 25});
    session.log_conversation();
    session.protection = setting.protection;
    smtp::Features features;
    features.auth = setting.auth;
    session.set_features(features);
    const LoginPtr login = std::make_shared<Login>(setting.login);
    Done done;
    done.trouble = test::run_task<std::optional<Trouble>>(
        loop, [&] { return authenticator.log_in(session, login); });
    done.logged_in = session.logged_in;
    if (done.trouble) {
      const mail::Outcome outcome = to_outcome(*done.trouble, session.peer());
      done.text = outcome.text + " " + outcome.reply;
      done.dsn = outcome.dsn;
    }
    done.problem = server->problem();
    done.all_played = server->all_played();
    done.transcript = session.transcript()->text();
    return done;
  }
  ev::Loop loop;
  ev::Offload offload{loop};
};

Change only(std::string mechanisms) {
  return [mechanisms](Setting& s) { s.auth = mechanisms; };
}

struct Good {
  std::string name;
  Change change;
  Script script;
};

TEST_F(Auth, LogsIn) {
  const Good rows[] = {
      {"with an initial response",
       only("PLAIN LOGIN"),
       {expect("AUTH PLAIN " + kPlain), send("235 2.7.0 ok\r\n")}},
      {"by two questions",
       only("LOGIN"),
       {expect("AUTH LOGIN"), send("334 VXNlcm5hbWU6\r\n"), expect(to_base64("tim")),
        send("334 UGFzc3dvcmQ6\r\n"), expect(to_base64(kPassword)), send("235 ok\r\n")}},
      {"questions without words",
       only("LOGIN"),
       {expect("AUTH LOGIN"), send("334\r\n"), expect(to_base64("tim")), send("334 \r\n"),
        expect(to_base64(kPassword)), send("235 ok\r\n")}},
      {"by a digest in clear text", // RFC 2195 section 2
       [](Setting& s) { s.protection = {}; },
       {expect("AUTH CRAM-MD5"),
        send("334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\r\n"),
        expect("dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"), send("235 ok\r\n")}},
      {"with a response too long for the command",
       [](Setting& s) {
         s.auth = "PLAIN";
         s.login.password = Secret(std::string(371, 'p'));
       },
       {expect("AUTH PLAIN"), send("334 \r\n"),
        expect(to_base64(std::string("\0tim\0", 5) + std::string(371, 'p'))), send("235 ok\r\n")}},
      {"with one that just fits", // "AUTH PLAIN " 11, response 496, CRLF 2: 509
       [](Setting& s) {
         s.auth = "PLAIN";
         s.login.password = Secret(std::string(367, 'p'));
       },
       {expect("AUTH PLAIN " + to_base64(std::string("\0tim\0", 5) + std::string(367, 'p'))),
        send("235 ok\r\n")}},
      {"by the certificate alone",
       [](Setting& s) {
         s.auth = "EXTERNAL";
         s.protection.client_certificate = true;
       },
       {expect("AUTH EXTERNAL ="), send("235 ok\r\n")}},
      {"naming whom to act as", // shows: send_cyrus_sasl_authzid
       [](Setting& s) {
         s.auth = "PLAIN";
         s.options.sasl.send_authzid = true;
       },
       {expect("AUTH PLAIN " + to_base64(std::string_view("tim\0tim\0tanstaaftanstaaf", 24))),
        send("235 ok\r\n")}},
  };
  for (const Good& row : rows)
    for (const std::size_t piece : {1000, 1}) {
      const Done done = log_in(row.script, row.change, piece);
      EXPECT_FALSE(done.trouble) << row.name << ": " << done.text;
      EXPECT_TRUE(done.logged_in && done.all_played) << row.name;
      EXPECT_EQ(done.problem, "") << row.name;
    }
}

TEST_F(Auth, IsNoBusinessOfAServerThatDoesNotOfferIt) {
  Setting setting;
  Authenticator authenticator(loop, offload, setting.options, setting.tables);
  Session session(loop, std::make_unique<ScriptStream>(Script{}, ScriptStream::Mode{}),
                  setting.options, setting.tables, {"mx", "192.0.2.1", 25});
  const LoginPtr login = std::make_shared<Login>(setting.login);
  EXPECT_FALSE(test::run_task<std::optional<Trouble>>(
      loop, [&] { return authenticator.log_in(session, login); }));
  EXPECT_FALSE(session.logged_in);
}

struct Bad {
  std::string name;
  Change change;
  Script script;
  Cause cause;
  std::string text, dsn;
};

const std::string kFailed = "SASL authentication failed";
const std::string kCannot = kFailed + "; cannot authenticate to server mx[192.0.2.1]: ";
const Script kAsk = {expect("AUTH LOGIN")};
const Script kCancelled = {expect("*"), send("501 5.7.0 cancelled\r\n")};

Script operator+(Script a, const Script& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// shows: smtp_sasl_auth_soft_bounce smtp_sasl_security_options smtp_sasl_tls_security_options
// shows: smtp_sasl_tls_verified_security_options smtp_sasl_mechanism_filter
TEST_F(Auth, SaysWhyNot) {
  const Bad rows[] = {
      {"refused",
       only("PLAIN"),
       {expect("AUTH PLAIN"), send("535 5.7.8 Error: authentication failed\r\n")},
       Cause::auth_refused,
       kFailed + "; server mx[192.0.2.1] said: 535 5.7.8 Error: authentication failed",
       "4.7.8"},
      {"refused, and bounced",
       [](Setting& s) { s.options.sasl.soft_bounce = false; },
       {expect("AUTH CRAM-MD5"), send("334 PDE+\r\n"), expect("dGlt"),
        send("535 5.7.8 Error: authentication failed\r\n")},
       Cause::reply_permanent,
       kFailed + "; server mx[192.0.2.1] said: 535 5.7.8 Error",
       "5.7.8"},
      {"later",
       only("PLAIN"),
       {expect("AUTH PLAIN"), send("454 4.7.0 Temporary authentication failure\r\n")},
       Cause::reply_temporary,
       kFailed + "; server mx[192.0.2.1] said: 454 4.7.0 Temporary",
       "4.7.0"},
      {"not now",
       only("PLAIN"),
       {expect("AUTH PLAIN"), send("421 4.3.2 going\r\n")},
       Cause::reply_421,
       kFailed + "; server mx[192.0.2.1] said: 421",
       "4.3.2"},
      {"out of order",
       only("PLAIN"),
       {expect("AUTH PLAIN"), send("503 5.5.1 Error: authentication not enabled\r\n")},
       Cause::auth_refused,
       kFailed + "; server mx[192.0.2.1] said: 503",
       "4.5.1"},
      {"without a code of its own",
       only("PLAIN"),
       {expect("AUTH PLAIN"), send("530 no\r\n")},
       Cause::auth_refused,
       kFailed + "; server mx[192.0.2.1] said: 530 no",
       "4.0.0"},
      {"nothing in common",
       only("GSSAPI X-OTHER"),
       {},
       Cause::auth_impossible,
       kCannot + "no mechanism available",
       "4.7.0"},
      {"no password in clear text",
       [](Setting& s) {
         s.protection = {};
         s.auth = "PLAIN LOGIN";
       },
       {},
       Cause::auth_impossible,
       kCannot + "no mechanism available",
       "4.7.0"},
      {"nor where the server is not verified",
       [](Setting& s) {
         s.protection = {.tls = true};
         s.auth = "PLAIN LOGIN";
       },
       {},
       Cause::auth_impossible,
       kCannot + "no mechanism available",
       "4.7.0"},
      {"a null list",
       only(""),
       {},
       Cause::auth_impossible,
       kFailed + ": server mx[192.0.2.1] offered no compatible authentication mechanisms for this "
                 "type of connection security",
       "4.7.0"},
      {"filtered out",
       [](Setting& s) {
         auto list = maps::MatchList::open("!plain, static:all", {}, {});
         s.auth = "PLAIN";
         s.tables.sasl_mechanisms = std::move(*list);
       },
       {},
       Cause::auth_impossible,
       kFailed + ": server mx[192.0.2.1] offered no compatible",
       "4.7.0"},
      {"a filter that cannot be asked",
       [](Setting& s) {
         auto list = maps::MatchList::open("fail:broken", {}, {});
         s.tables.sasl_mechanisms = std::move(*list);
       },
       {},
       Cause::local_data,
       "local data error while talking to mx[192.0.2.1]",
       "4.3.0"},
      {"not base64", only("LOGIN"), kAsk + Script{send("334 ~~~\r\n")} + kCancelled,
       Cause::auth_impossible, kCannot + "malformed challenge", "4.7.0"},
      {"several lines", only("LOGIN"),
       kAsk + Script{send("334-VXNlcm5hbWU6\r\n334 VXNlcm5hbWU6\r\n")} + kCancelled,
       Cause::auth_impossible, kCannot + "malformed challenge", "4.7.0"},
      {"a challenge in place of the go-ahead",
       [](Setting& s) {
         s.auth = "PLAIN";
         s.login.password = Secret(std::string(400, 'p'));
       },
       Script{expect("AUTH PLAIN"), send("334 bW9yZQ==\r\n")} + kCancelled, Cause::auth_impossible,
       kFailed + "; non-empty initial PLAIN challenge from server mx[192.0.2.1]: bW9yZQ==",
       "4.7.0"},
      {"a challenge when all was said", only("PLAIN"),
       Script{expect("AUTH PLAIN"), send("334 \r\n")} + kCancelled, Cause::auth_impossible,
       kCannot + "protocol error", "4.7.0"},
      {"yes before the password", only("LOGIN"),
       kAsk + Script{send("334 VXNlcm5hbWU6\r\n"), expect("dGlt"), send("235 come in\r\n")},
       Cause::auth_impossible, kCannot + "protocol error", "4.7.0"},
      {"yes at once, without a proof",
       only("SCRAM-SHA-256"),
       {expect("AUTH SCRAM-SHA-256 "), send("235 come in\r\n")},
       Cause::auth_impossible,
       kCannot + "protocol error",
       "4.7.0"},
      {"64 kB, a kilobyte more", only("CRAM-MD5"),
       Script{expect("AUTH CRAM-MD5"),
              send("334 " + to_base64(std::string(65 << 10, 'a')) + "\r\n")} +
           kCancelled,
       Cause::auth_impossible, kCannot + "challenge too long", "4.7.0"},
      {"a megabyte", only("CRAM-MD5"),
       Script{expect("AUTH CRAM-MD5"), send("334 " + std::string(1 << 20, 'a') + "\r\n")} +
           kCancelled,
       Cause::auth_impossible, kCannot + "challenge too long", "4.7.0"},
      {"ten megabytes",
       only("CRAM-MD5"),
       {expect("AUTH CRAM-MD5"), send("334 " + std::string(10 << 20, 'a') + "\r\n")},
       Cause::too_much,
       "Protocol error: mx[192.0.2.1]: malformed server reply while performing SASL authentication",
       "4.5.0"},
      {"gone", only("LOGIN"),
       kAsk + Script{send("334 VXNlcm5hbWU6\r\n"), expect("dGlt"), close_now()}, Cause::closed,
       "lost connection with mx[192.0.2.1] while performing SASL authentication", "4.4.2"},
      {"silent", only("LOGIN"), kAsk + Script{stall()}, Cause::timeout,
       "conversation with mx[192.0.2.1] timed out while performing SASL authentication", "4.4.2"},
  };
  for (const Bad& row : rows) {
    const Done done = log_in(row.script, row.change);
    ASSERT_TRUE(done.trouble) << row.name;
    EXPECT_EQ(done.trouble->cause, row.cause) << row.name;
    EXPECT_EQ(done.text.substr(0, row.text.size()), row.text) << row.name;
    EXPECT_EQ(done.dsn, row.dsn) << row.name;
    EXPECT_FALSE(done.logged_in) << row.name;
    EXPECT_EQ(done.problem, "") << row.name;
    EXPECT_TRUE(done.all_played || row.cause == Cause::timeout) << row.name;
  }
}

// A mechanism, or a server, that never comes to an end.
int endless_new(void*, sasl_client_params_t*, void** context) {
  *context = context;
  return SASL_OK;
}
int endless_step(void*, sasl_client_params_t*, const char*, unsigned, sasl_interact_t**,
                 const char** out, unsigned* length, sasl_out_params_t*) {
  *out = "go on";
  *length = 5;
  return SASL_CONTINUE;
}
int endless_plugin(const sasl_utils_t*, int, int* version, sasl_client_plug_t** plugins,
                   int* count) {
  static sasl_client_plug_t plugin{};
  plugin.mech_name = "X-ENDLESS";
  plugin.features = SASL_FEAT_SERVER_FIRST;
  plugin.mech_new = endless_new;
  plugin.mech_step = endless_step;
  *version = SASL_CLIENT_PLUG_VERSION;
  *plugins = &plugin;
  *count = 1;
  return SASL_OK;
}

TEST_F(Auth, EndsALoop) {
  ASSERT_TRUE(Setting::initialized());
  ASSERT_EQ(sasl_client_add_plugin("X-ENDLESS", endless_plugin), SASL_OK);
  Script script = {expect("AUTH X-ENDLESS"), send("334 YQ==\r\n")};
  for (int i = 0; i < Authenticator::kMostRounds; ++i)
    script = script + Script{expect("Z28gb24="), send("334 YQ==\r\n")};
  const Done done = log_in(script + kCancelled, [](Setting& s) {
    s.auth = "X-ENDLESS";
    s.options.sasl.verified_security.clear();
  });
  EXPECT_EQ(done.text.substr(0, done.text.size() - 1),
            kFailed + "; authentication protocol loop with server mx[192.0.2.1]");
  EXPECT_TRUE(done.all_played);
  EXPECT_EQ(done.problem, "");
}

// The longest challenge that is taken arrives as a whole.
TEST_F(Auth, TakesAChallengeOf64Kilobytes) {
  const std::string most = "334 " + to_base64(std::string(64 << 10, 'a')) + "\r\n";
  const Done done = log_in({expect("AUTH LOGIN"), send(most), expect("dGlt"), send(most),
                            expect(to_base64(kPassword)), send("235 ok\r\n")},
                           only("LOGIN"));
  EXPECT_FALSE(done.trouble) << done.text;
}

// shows: smtp_sasl_auth_cache_name smtp_sasl_auth_cache_time
TEST_F(Auth, RemembersWhatWasRefused) {
  Setting setting;
  setting.auth = "PLAIN";
  setting.options.sasl.failure_cache = "lmdb:/x";
  setting.options.sasl.failure_time = std::chrono::hours(1);
  Authenticator authenticator(loop, offload, setting.options, setting.tables);
  const Script refused = {expect("AUTH PLAIN"), send("535 5.7.8 no\r\n")};
  const Script later = {expect("AUTH PLAIN"), send("454 4.7.0 later\r\n")};
  EXPECT_EQ(log_in_with(authenticator, setting, later).trouble->cause, Cause::reply_temporary);
  EXPECT_EQ(log_in_with(authenticator, setting, refused).trouble->cause, Cause::auth_refused);
  const Done again = log_in_with(authenticator, setting, {});
  ASSERT_TRUE(again.trouble);
  EXPECT_EQ(again.text.substr(0, again.text.find(" no")),
            "SASL [CACHED] authentication failed; server mx said: 535 5.7.8");
  EXPECT_EQ(again.dsn, "4.7.8");
  setting.login.password = Secret("another");
  EXPECT_EQ(log_in_with(authenticator, setting, refused).trouble->cause, Cause::auth_refused);
  setting.options.sasl.failure_cache.clear();
  EXPECT_TRUE(log_in_with(authenticator, setting, refused).all_played);
}

// Whatever the server says, and however it says it, nothing we log or keep has the password in it.
TEST_F(Auth, NothingSecretIsWrittenDown) {
  const Fd file(::memfd_create("log", MFD_CLOEXEC));
  log::start({.target = log::Target::descriptor, .descriptor = file.get()});
  std::string written;
  const std::string password(kPassword);
  const std::string coded = to_base64(kPassword);
  const Script scripts[] = {
      {expect("AUTH PLAIN"), send("535 5.7.8 no\r\n")},
      // what servers say that do not know the command
      {expect("AUTH PLAIN"), send("500 5.5.2 unknown: AUTH PLAIN " + kPlain + "\r\n")},
      {expect("AUTH PLAIN"), send("AUTH PLAIN " + kPlain + "\r\n")},
      {expect("AUTH PLAIN"), send("334 " + kPlain), expect("*"), send("501 ok\r\n")},
      {expect("AUTH PLAIN"), send("535-" + password + "\r\n535 " + coded + coded + "\r\n")},
      {expect("AUTH PLAIN"),
       send("454 4.7.0 " + kPlain.substr(0, 20) + "... " + kPlain.substr(3) + "\r\n")},
      {expect("AUTH PLAIN"), send("235 welcome " + password + "\r\n")},
  };
  for (const bool filtered : {false, true})
    for (const Script& script : scripts) {
      const Done done = log_in(script, [&](Setting& s) {
        s.auth = "PLAIN";
        if (filtered)
          s.tables.reply_filter = std::move(*maps::open_maps("regexp:{{/^(.*)$/ $1}}", {}));
      });
      written += done.text + done.transcript;
      if (done.trouble) written += done.trouble->detail + done.trouble->reply.text;
    }
  const Done login = log_in({expect("AUTH LOGIN"), send("334 VXNlcm5hbWU6\r\n"), expect("dGlt"),
                             send("334 UGFzc3dvcmQ6\r\n"), expect(coded), send("235 ok\r\n")},
                            only("LOGIN"));
  written += login.transcript;
  log::flush();
  log::start({});
  std::string logged(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
  ASSERT_EQ(::pread(file.get(), logged.data(), logged.size(), 0),
            static_cast<ssize_t>(logged.size()));
  EXPECT_NE(logged.find("> mx[192.0.2.1]:25: AUTH PLAIN [...]"), std::string::npos) << logged;
  written += logged;
  EXPECT_NE(written.find("Out: AUTH PLAIN [...]"), std::string::npos) << written;
  EXPECT_NE(written.find("In:  334 [...]"), std::string::npos) << written;
  EXPECT_NE(written.find("unknown: AUTH PLAIN [...]"), std::string::npos) << written;
  // Nor a good part of it: servers cut what they echo.
  for (const std::string& secret : {password.substr(0, 8), coded.substr(4, 9), kPlain.substr(0, 8),
                                    kPlain.substr(10, 10), kPlain.substr(20)})
    EXPECT_EQ(written.find(secret), std::string::npos) << secret << " in:\n" << written;
}

} // namespace
} // namespace postrider::smtpclient

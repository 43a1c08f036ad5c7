// SPDX-License-Identifier: MIT
// AUTH as a client sees it, with a scripted saslmgr behind.
// shows: smtpd_sasl_response_limit broken_sasl_auth_clients smtpd_sasl_failure_delay
#include "base/base64.hpp"
#include "dialogue.hpp"
#include "service/sasl_manager.hpp"
#include "service/server.hpp"

namespace postrider::smtpd {
namespace {

using proto::LoginStage;

const std::string kJoe = to_base64(std::string_view("\0joe\0secret", 11));

// Logs joe in whose password is "secret", by PLAIN and by LOGIN.
class FakeSaslmgr final : private service::Handler {
 public:
  FakeSaslmgr(ev::Loop& loop, const std::string& path)
      : listener_(std::move(*net::listen(*net::Address::unix_path(path), {}))),
        watch_(loop, listener_.get(), accept, this),
        server_(loop, *this,
                {.protocol = std::string(proto::kSaslmgrProtocol),
                 .version = proto::kSaslmgrVersion}) {}
  ~FakeSaslmgr() override { server_.stop(); }

  std::vector<std::string> names = {"PLAIN", "LOGIN",    "HANG",     "FAIL",
                                    "LOOP",  "EXTERNAL", "ANONYMOUS"};
  std::vector<std::string> said; // responses
  std::vector<proto::LoginFacts> facts;
  std::size_t cancelled = 0;

 private:
  static void accept(void* self, bool, bool) {
    auto* fake = static_cast<FakeSaslmgr*>(self);
    daemon::Client client;
    client.fd =
        Fd(::accept4(fake->listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client.fd) fake->server_.accept(std::move(client));
  }
  void answer(service::Peer& peer, std::uint64_t number, LoginStage stage, std::string text = {}) {
    proto::LoginAnswer out;
    out.number = number;
    out.stage = stage;
    out.login = 7;
    if (stage == LoginStage::challenge) out.challenge = text;
    if (stage == LoginStage::refused) out.reason = "authentication failure";
    if (stage == LoginStage::failed) out.reason = "no answer";
    out.username = stage == LoginStage::done ? "joe" : "";
    peer.channel.send(out);
  }
  void decide(service::Peer& peer, std::uint64_t number, const std::string& response) {
    const bool good = mechanism_ == "ANONYMOUS" ||
                      response == std::string_view("\0joe\0secret", 11) || response == "secret";
    answer(peer, number, good ? LoginStage::done : LoginStage::refused);
  }
  Result<void> take(service::Peer& peer, ipc::Frame& frame) override {
    if (frame.type == proto::ListMechanisms::kType) {
      proto::Mechanisms out;
      out.number = ipc::as<proto::ListMechanisms>(frame)->number;
      out.names = names;
      peer.channel.send(out);
    }
    if (frame.type == proto::CancelLogin::kType) ++cancelled;
    if (frame.type == proto::BeginLogin::kType) {
      const auto request = *ipc::as<proto::BeginLogin>(frame);
      mechanism_ = request.mechanism;
      facts.push_back(request.facts);
      if (request.has_initial) said.push_back(request.initial);
      if (mechanism_ == "HANG") return {};
      if (mechanism_ == "FAIL")
        answer(peer, request.number, LoginStage::failed);
      else if (mechanism_ == "LOGIN")
        answer(peer, request.number, LoginStage::challenge,
               request.has_initial ? "Password:" : "Username:");
      else if (mechanism_ == "LOOP" || !request.has_initial)
        answer(peer, request.number, LoginStage::challenge);
      else
        decide(peer, request.number, request.initial);
    }
    if (frame.type == proto::StepLogin::kType) {
      const auto request = *ipc::as<proto::StepLogin>(frame);
      said.push_back(request.response);
      if (mechanism_ == "LOOP" || request.response == "joe")
        answer(peer, request.number, LoginStage::challenge, "Password:");
      else
        decide(peer, request.number, request.response);
    }
    return {};
  }

  std::string mechanism_;
  Fd listener_;
  ev::FdWatch watch_;
  service::Server server_;
};

class SmtpAuth : public DialogueTest {
 protected:
  SmtpAuth() : path(directory.path + "/saslmgr"), saslmgr(loop, path) {
    setup.sockets = {path};
    manager = std::make_unique<service::SaslManager>(loop, setup);
    shared->sasl = manager.get();
    config->auth.enabled = true;
    config->auth.security = {"noanonymous"};
    auto rules = std::make_shared<Rules>(*config->rules);
    rules->relay = *parse_restrictions({"permit_sasl_authenticated", "reject"}, WordContext{});
    config->rules = rules;
  }
  ~SmtpAuth() override { group.tear_down(); }
  void greet() {
    begin();
    ask("EHLO client.example");
  }
  void again() {
    ask("QUIT");
    EXPECT_EQ(reply(), "");
    connect();
    reply();
    ask("EHLO client.example");
  }

  std::string path;
  service::SaslManagerSetup setup;
  FakeSaslmgr saslmgr;
  std::unique_ptr<service::SaslManager> manager;
};

TEST_F(SmtpAuth, IsOfferedAndOpensTheWay) {
  begin();
  EXPECT_NE(
      ask("EHLO client.example").find("|250-AUTH PLAIN LOGIN HANG FAIL LOOP EXTERNAL ANONYMOUS|"),
      std::string::npos);
  EXPECT_EQ(ask(kMail), "250 2.1.0 Ok");
  EXPECT_EQ(ask("RCPT TO:<u@far.example>").substr(0, 9), "554 5.7.1");
  EXPECT_EQ(ask("RSET"), "250 2.0.0 Ok");
  EXPECT_EQ(ask("AUTH PLAIN " + kJoe), "235 2.7.0 Authentication successful");
  EXPECT_EQ(saslmgr.facts.at(0).client, "192.0.2.7");
  EXPECT_EQ(saslmgr.facts.at(0).hostname, "mx.ours.example");
  send_mail("Subject: s\r\n\r\ntext\r\n.\r\n", "u@far.example");
  wait_for_mail(1);
  EXPECT_EQ(qmgr.mails()[0].envelope.sasl_username, "joe");
  EXPECT_EQ(qmgr.mails()[0].envelope.sasl_method, "PLAIN");
  EXPECT_EQ(qmgr.mails()[0].content.find("Authenticated"), std::string::npos);
  EXPECT_EQ(ask("EHLO again.example").substr(0, 3), "250");
  EXPECT_EQ(ask("AUTH PLAIN " + kJoe), "503 5.5.1 Error: already authenticated");
}

TEST_F(SmtpAuth, AnonymousIsNobody) {
  greet();
  EXPECT_EQ(ask("AUTH ANONYMOUS =").substr(0, 3), "235");
  EXPECT_EQ(ask("AUTH PLAIN " + kJoe), "503 5.5.1 Error: already authenticated");
  EXPECT_EQ(ask(kMail), "250 2.1.0 Ok");
  EXPECT_EQ(ask("RCPT TO:<u@far.example>").substr(0, 9), "554 5.7.1");
}

TEST_F(SmtpAuth, TakesAResponseForEachChallenge) {
  greet();
  EXPECT_EQ(ask("auth plain"), "334 ");
  EXPECT_EQ(ask(kJoe), "235 2.7.0 Authentication successful");
  again();
  EXPECT_EQ(ask("AUTH LOGIN"), "334 " + to_base64("Username:"));
  EXPECT_EQ(ask(to_base64("joe")), "334 " + to_base64("Password:"));
  EXPECT_EQ(ask(to_base64("secret")), "235 2.7.0 Authentication successful");
  again();
  EXPECT_EQ(ask("AUTH LOGIN " + to_base64("joe")), "334 " + to_base64("Password:"));
  send(to_base64("secret") + "\n"); // a bare LF, as some do
  EXPECT_EQ(reply(), "235 2.7.0 Authentication successful");
}

TEST_F(SmtpAuth, OldClientsAreToldTwice) {
  config->auth.old_clients = true;
  saslmgr.names = {"PLAIN", "LOGIN"};
  begin();
  EXPECT_NE(ask("EHLO client.example").find("|250-AUTH PLAIN LOGIN|250-AUTH=PLAIN LOGIN|"),
            std::string::npos);
}

// A2, A3: what is asked, and what comes of it.
struct AuthCase {
  std::string name;
  std::vector<std::string> lines;
  std::string last; // reply, or its beginning
};
class AuthCases : public SmtpAuth, public testing::WithParamInterface<AuthCase> {};
TEST_P(AuthCases, Answer) {
  begin();
  std::string said;
  for (const std::string& line : GetParam().lines)
    said = ask(line);
  EXPECT_EQ(said.substr(0, GetParam().last.size()), GetParam().last) << said;
  EXPECT_EQ(ask("NOOP"), "250 2.0.0 Ok") << "the session goes on";
}
INSTANTIATE_TEST_SUITE_P(
    Rfc4954, AuthCases,
    testing::ValuesIn<AuthCase>({
        {"BeforeEhlo", {"AUTH PLAIN " + kJoe}, "503 5.5.1 Error: send HELO/EHLO first"},
        {"InATransaction",
         {"EHLO a.b", kMail, "AUTH PLAIN " + kJoe},
         "503 5.5.1 Error: MAIL transaction in progress"},
        {"NoMechanism", {"EHLO a.b", "AUTH"}, "501 5.5.4 Syntax: AUTH mechanism"},
        {"TooManyWords", {"EHLO a.b", "AUTH PLAIN a b"}, "501 5.5.4 Syntax: AUTH mechanism"},
        {"UnknownMechanism",
         {"EHLO a.b", "AUTH X-NONE"},
         "535 5.7.8 Error: authentication failed: no mechanism available"},
        {"StrangeMechanism", {"EHLO a.b", "AUTH a%n\"'"}, "535 5.7.8"},
        {"Wrong",
         {"EHLO a.b", "AUTH PLAIN AGEAYg=="},
         "535 5.7.8 Error: authentication failed: authentication failure"},
        {"Empty", {"EHLO a.b", "AUTH PLAIN ="}, "535 5.7.8"},
        {"EmptyResponse", {"EHLO a.b", "AUTH PLAIN", ""}, "535 5.7.8"},
        {"NoBase64", {"EHLO a.b", "AUTH PLAIN ????"}, "501 5.5.2"},
        {"HalfBase64", {"EHLO a.b", "AUTH PLAIN AGE"}, "501 5.5.2"},
        {"NoBase64Later", {"EHLO a.b", "AUTH PLAIN", "not base64!"}, "501 5.5.2"},
        {"EqualsLater", {"EHLO a.b", "AUTH PLAIN", "="}, "501 5.5.2"},
        {"Cancelled", {"EHLO a.b", "AUTH PLAIN", "*"}, "501 5.7.0 Authentication aborted"},
        {"CancelledLate",
         {"EHLO a.b", "AUTH LOGIN", to_base64("joe"), "*"},
         "501 5.7.0 Authentication aborted"},
        {"Nuls", {"EHLO a.b", "AUTH PLAIN AAAAAA=="}, "535 5.7.8"},
        {"ManyChallenges",
         [] {
           std::vector<std::string> lines{"EHLO a.b", "AUTH LOOP"};
           lines.resize(23, "YQ==");
           return lines;
         }(),
         "501 5.5.2"},
        {"Temporary",
         {"EHLO a.b", "AUTH FAIL"},
         "454 4.7.0 Temporary authentication failure: no answer"},
        {"LongResponse",
         {"EHLO a.b", "AUTH PLAIN", std::string(12289, 'A')},
         "500 5.5.6 SASL response limit exceeded"},
        {"LongestResponse", {"EHLO a.b", "AUTH PLAIN", std::string(12288, 'A')}, "535 5.7.8"},
        {"AMegabyte",
         {"EHLO a.b", "AUTH PLAIN", std::string(1'000'000, 'A')},
         "500 5.5.6 SASL response limit exceeded"},
        {"AfterHelo", {"HELO a.b", "AUTH PLAIN " + kJoe}, "235 2.7.0"},
        {"Twice",
         {"EHLO a.b", "AUTH PLAIN " + kJoe, "AUTH LOGIN"},
         "503 5.5.1 Error: already authenticated"},
    }),
    [](const auto& one) { return one.param.name; });

TEST_F(SmtpAuth, ALineWithoutEndEndsTheSession) {
  greet();
  EXPECT_EQ(ask("AUTH PLAIN"), "334 ");
  send(std::string(3U << 20, 'A'));
  EXPECT_EQ(reply(), "500 5.5.6 SASL response limit exceeded");
  EXPECT_EQ(reply(), "");
  EXPECT_EQ(saslmgr.cancelled, 1U);
}

TEST_F(SmtpAuth, NotWhereItIsOff) {
  config->auth.enabled = false;
  begin();
  EXPECT_EQ(ask("EHLO a.b").find("AUTH"), std::string::npos);
  EXPECT_EQ(ask("AUTH PLAIN " + kJoe), "503 5.5.1 Error: authentication not enabled");
  EXPECT_EQ(ask(kMail + " AUTH=<>"), "503 5.5.4 Error: authentication disabled");
}

TEST_F(SmtpAuth, NotInTheClearWhereTlsIsRequired) {
  config->auth.only_tls = true;
  begin();
  EXPECT_EQ(ask("EHLO a.b").find("AUTH"), std::string::npos);
  EXPECT_EQ(ask("AUTH PLAIN " + kJoe),
            "504 5.5.4 Encryption required for requested authentication mechanism");
  EXPECT_TRUE(saslmgr.facts.empty());
  peer.tls.protocol = "TLSv1.3";
  again();
  EXPECT_NE(ask("EHLO a.b").find("AUTH"), std::string::npos);
  EXPECT_EQ(ask("AUTH PLAIN " + kJoe).substr(0, 3), "235");
}

TEST_F(SmtpAuth, TlsHasOptionsOfItsOwnAndMayNameTheClient) {
  config->auth.security = {"noplaintext"};
  config->auth.tls_security = {"noanonymous"};
  peer.tls.protocol = "TLSv1.3";
  peer.tls.has_certificate = true;
  peer.tls.subject = "joe";
  greet();
  ask("AUTH PLAIN " + kJoe);
  EXPECT_EQ(saslmgr.facts.at(0).security, std::vector<std::string>{"noanonymous"});
  EXPECT_EQ(saslmgr.facts.at(0).external, "") << "not verified";
  peer.tls.trusted = true;
  again();
  ask("AUTH EXTERNAL =");
  EXPECT_EQ(saslmgr.facts.at(1).external, "joe");
  peer.tls.subject = "joe\nroot";
  again();
  ask("AUTH EXTERNAL =");
  EXPECT_EQ(saslmgr.facts.at(2).external, "");
}

// RFC 4954 section 5, RFC 3461 section 4 (xtext).
TEST_F(SmtpAuth, MailTellsWhoItIsFrom) {
  greet();
  EXPECT_EQ(ask(kMail + " AUTH=joe+0Aroot").substr(0, 3), "501");
  EXPECT_EQ(ask(kMail + " AUTH=joe+00").substr(0, 3), "501");
  EXPECT_EQ(ask(kMail + " AUTH=").substr(0, 3), "501");
  EXPECT_EQ(ask(kMail + " AUTH=a AUTH=b").substr(0, 3), "501");
  EXPECT_EQ(ask(kMail + " AUTH=e+3Dmc2@example.com"), "250 2.1.0 Ok") << "from a stranger: ignored";
  ask("RSET");
  EXPECT_EQ(ask("AUTH PLAIN " + kJoe).substr(0, 3), "235");
  EXPECT_EQ(ask(kMail + " AUTH=e+3Dmc2@example.com"), "250 2.1.0 Ok");
  EXPECT_EQ(ask(kRcpt), "250 2.1.5 Ok");
  ask("DATA");
  send("\r\n.\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(qmgr.mails()[0].envelope.sasl_sender, "e=mc2@example.com");
}

TEST_F(SmtpAuth, ReceivedSaysWhoWhereItMay) {
  config->auth.header = true;
  greet();
  ask("AUTH PLAIN " + kJoe);
  send_mail("\r\n.\r\n");
  wait_for_mail(1);
  EXPECT_NE(qmgr.mails()[0].content.find("\r\n\t(Authenticated sender: joe)\r\n"),
            std::string::npos);
}

// A1
TEST_F(SmtpAuth, FailuresEndTheSession) {
  config->hard_errors = 6;
  config->auth.failure_delay = std::chrono::milliseconds(1);
  greet();
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(ask(i % 2 == 0 ? "AUTH PLAIN AGEAYg==" : "AUTH X-NONE").substr(0, 3), "535");
  EXPECT_EQ(ask("AUTH PLAIN AGEAYg==").substr(0, 3), "535");
  EXPECT_EQ(reply(), "421 4.7.0 mx.ours.example Error: too many errors");
  EXPECT_EQ(reply(), "");
}

TEST_F(SmtpAuth, NoSaslmgrIsNoRefusal) {
  setup.sockets = {directory.path + "/nowhere"};
  manager = std::make_unique<service::SaslManager>(loop, setup);
  shared->sasl = manager.get();
  begin();
  EXPECT_EQ(ask("EHLO a.b").find("AUTH"), std::string::npos);
  EXPECT_EQ(ask("AUTH PLAIN " + kJoe),
            "454 4.7.0 Temporary authentication failure: no mechanism available");
  EXPECT_EQ(ask(kMail), "250 2.1.0 Ok");
}

TEST_F(SmtpAuth, AnotherSessionGoesOnMeanwhile) {
  greet();
  send("AUTH HANG\r\n");
  Fd waiting = std::move(client);
  connect();
  EXPECT_EQ(reply().substr(0, 3), "220");
  ask("EHLO client.example");
  EXPECT_EQ(ask("AUTH PLAIN " + kJoe).substr(0, 3), "235");
  char byte;
  EXPECT_EQ(::recv(waiting.get(), &byte, 1, MSG_DONTWAIT), -1) << "no answer yet";
}

// The client goes, after each byte of a dialogue.
TEST_F(SmtpAuth, CutAnywhereLogsNobodyIn) {
  start_queue();
  const std::string dialogue =
      "EHLO a.b\r\nAUTH LOGIN\r\n" + to_base64("joe") + "\r\n" + to_base64("secret") + "\r\n";
  for (std::size_t cut = 0; cut < dialogue.size(); ++cut) {
    config->forbid_pipelining = false;
    const std::size_t before = saslmgr.said.size();
    connect();
    std::string whole;
    for (const std::string& one : all_replies(dialogue.substr(0, cut)))
      whole += one + "\n";
    EXPECT_EQ(whole.find("235"), std::string::npos) << cut;
    for (std::size_t i = before; i < saslmgr.said.size(); ++i)
      EXPECT_EQ(saslmgr.said[i], "joe") << "only what came whole";
  }
  connect();
  EXPECT_EQ(all_replies(dialogue).back(), "235 2.7.0 Authentication successful");
}

} // namespace
} // namespace postrider::smtpd

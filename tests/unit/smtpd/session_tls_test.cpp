// SPDX-License-Identifier: MIT
// STARTTLS and TLS from the first byte, over a connection in memory that can be cut, changed and
// split anywhere.
#include <fstream>

#include "dialogue.hpp"
#include "endings.hpp"
#include "support/certs.hpp"
#include "support/memory_stream.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"
#include "tls/stream.hpp"

namespace postrider::smtpd {
namespace {

using std::chrono::seconds;
using test::MemoryStream;

constexpr std::time_t kLater = test::kNow + 10 * 365 * 86400; // the clock of these tests is real

struct Keys {
  test::ScratchDir directory;
  test::Cert root = test::root("Test Root", kLater);

  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(directory.path() + "/" + name) << text;
    return directory.path() + "/" + name;
  }
  // Key and certificate in one file.
  std::string make(const std::string& name, const std::string& purpose,
                   bool signed_by_root = true) {
    test::Wanted wanted;
    wanted.common_name = name;
    wanted.dns_names = {name};
    wanted.until = kLater;
    wanted.purposes = {purpose};
    const test::Cert made = signed_by_root ? test::issue(wanted, root) : test::self_signed(wanted);
    return write(name + (signed_by_root ? "" : ".self"), made.key.private_pem() + made.pem());
  }
};

const std::string kServerUse = "1.3.6.1.5.5.7.3.1", kClientUse = "1.3.6.1.5.5.7.3.2";

class TlsSession : public DialogueTest {
 protected:
  static Keys& keys() {
    static Keys made;
    return made;
  }
  TlsSession() {
    config->tls = usual();
    start_queue();
  }
  static TlsConfig usual() {
    static const std::string server = keys().make("mx.ours.example", kServerUse);
    static const std::string named = keys().make("www.ours.example", kServerUse);
    Certificates::Files files;
    files.own.server = true;
    files.own.ca_file = keys().write("roots", keys().root.pem());
    files.own.chain_files = {server};
    files.named["www.ours.example"] = files.own;
    files.named["www.ours.example"].chain_files = {named};
    files.named[".below.example"] = files.named["www.ours.example"];
    TlsConfig tls;
    tls.level = TlsLevel::may;
    tls.priority = "NORMAL";
    tls.handshake_limit = seconds(20);
    tls.certificates = *Certificates::open(files);
    return tls;
  }
  static std::shared_ptr<const tls::Credentials> client_with(const std::string& file) {
    tls::CredentialFiles files;
    if (!file.empty()) files.chain_files = {file};
    return *tls::Credentials::load(files);
  }

  void open(MemoryStream::Mode to_server = {}) {
    auto pair = MemoryStream::make(loop, {}, std::move(to_server));
    stream = std::move(pair.first);
    ended = false;
    group.spawn(serve(std::move(pair.second)), "session");
    if (!config->tls.wrapper) {
      EXPECT_EQ(hear(), "220 mx.ours.example ESMTP Postrider");
    }
  }
  ev::Deadline soon() { return loop.after(seconds(20)); }
  bool say(std::string_view text) {
    return test::run_task<Result<void>>(loop, [&] { return stream->write(text, soon()); }).ok();
  }
  // As reply() of DialogueTest.
  std::string hear() {
    std::string out;
    while (true) {
      const auto line = test::run_task<Result<net::Stream::Line>>(
          loop, [&] { return stream->read_line(4096, soon()); });
      if (!line) return out;
      out += (out.empty() ? "" : "|") + line->text;
      if (line->text.size() < 4 || line->text[3] != '-') return out;
    }
  }
  std::string say_and_hear(const std::string& line) {
    say(line + "\r\n");
    return hear();
  }
  bool shake_hands(const std::string& name = "", const std::string& certificate = "") {
    tls::ClientHandshake wish;
    wish.credentials = client_with(certificate);
    wish.priority = "NORMAL";
    wish.server_name = name;
    auto made = test::run_task<Result<std::unique_ptr<tls::TlsStream>>>(
        loop, [&] { return tls::TlsStream::connect(stream, wish, soon()); });
    if (!made) return false;
    secure = made->get();
    stream = std::move(*made);
    return true;
  }
  bool start_tls(const std::string& name = "", const std::string& certificate = "") {
    EXPECT_EQ(say_and_hear("STARTTLS"), "220 2.0.0 Ready to start TLS");
    return shake_hands(name, certificate);
  }
  void envelope() {
    EXPECT_EQ(say_and_hear("MAIL FROM:<a@b.example>"), "250 2.1.0 Ok");
    EXPECT_EQ(say_and_hear("RCPT TO:<u@ours.example>"), "250 2.1.5 Ok");
  }
  void wait_for_end() {
    EXPECT_TRUE(test::turn_until(loop, [&] { return ended; }));
  }

  std::unique_ptr<net::Stream> stream;
  tls::TlsStream* secure = nullptr;
  bool ended = false;

 private:
  ev::RootTask serve(std::unique_ptr<net::Stream> end) {
    {
      Session session(*shared, config, std::move(end), peer);
      co_await session.run();
    }
    ended = true;
  }
};

TEST_F(TlsSession, ForgetsWhatWasSaidInTheClear) {
  config->helo_required = true;
  open();
  EXPECT_NE(say_and_hear("EHLO liar.example").find("|250-STARTTLS|"), std::string::npos);
  envelope();
  ASSERT_TRUE(start_tls());
  EXPECT_EQ(say_and_hear("RCPT TO:<v@ours.example>"), "503 5.5.1 Error: need MAIL command");
  EXPECT_EQ(say_and_hear("MAIL FROM:<a@b.example>"), "503 5.5.1 Error: send HELO/EHLO first");
  EXPECT_EQ(say_and_hear("STARTTLS"), "554 5.5.1 Error: TLS already active");
  EXPECT_EQ(say_and_hear("EHLO client.example").find("STARTTLS"), std::string::npos);
  envelope();
  EXPECT_EQ(say_and_hear("DATA").substr(0, 3), "354");
  EXPECT_EQ(say_and_hear("x: y\r\n\r\n.").substr(0, 3), "250");
  EXPECT_EQ(say_and_hear("QUIT"), "221 2.0.0 Bye");
  EXPECT_EQ(hear(), "");
  wait_for_mail(1);
  const auto& mail = qmgr.mails()[0];
  EXPECT_EQ(mail.envelope.helo, "client.example");
  EXPECT_NE(mail.content.find(" with ESMTPS id "), std::string::npos) << mail.content;
}

// However it is cut into pieces: what was typed before the handshake is never answered.
TEST_F(TlsSession, BytesBehindStartTlsEndTheSession) {
  const std::string all = "STARTTLS\r\nMAIL FROM:<a@b.example>\r\n";
  for (const bool forbid : {true, false})
    for (std::size_t cut = 10; cut < all.size(); ++cut) {
      config->forbid_pipelining = forbid;
      open();
      say(all.substr(0, cut));
      const bool at_once = cut > 10; // something stood behind it from the beginning
      EXPECT_EQ(hear(), at_once && forbid
                            ? "503 5.5.0 Error: improper use of SMTP command pipelining"
                            : "220 2.0.0 Ready to start TLS");
      say(all.substr(cut));
      wait_for_end();
      EXPECT_EQ(hear().find("250"), std::string::npos);
    }
}

// A message ends at its end, and not where the connection does, politely or not, or in clear text
// that comes behind the end of TLS.
TEST_F(TlsSession, CutContentIsNoMail) {
  const std::string content = "x: y\r\n\r\nz\r\n.\r\n";
  for (const bool chunk : {false, true})
    for (const int how : {0, 1, 2})
      for (std::size_t cut = 0; cut < content.size(); ++cut) {
        bool inject = false;
        MemoryStream::Mode mode;
        mode.change = [&](std::string& bytes) {
          if (inject) bytes += content.substr(cut) + "\r\n.\r\n";
        };
        open(mode);
        ASSERT_TRUE(start_tls());
        envelope();
        if (chunk) {
          say("BDAT " + std::to_string(content.size()) + " LAST\r\n");
        } else {
          EXPECT_EQ(say_and_hear("DATA").substr(0, 3), "354");
        }
        if (cut > 0) say(content.substr(0, cut));
        inject = how == 2;
        if (how != 0) stream->shutdown_write();
        if (how == 0)
          stream.reset();
        else
          EXPECT_EQ(hear(), "");
        wait_for_end();
      }
  EXPECT_TRUE(qmgr.mails().empty());
}

// The end of data, and what only looks like it, in two records: the same as in one.
TEST_F(TlsSession, RecordsMakeNoDifferenceToTheEndOfData) {
  config->message_size = 0;
  open();
  ASSERT_TRUE(start_tls());
  std::size_t mails = 0;
  for (const test::Ending& ending : test::kFalseEndings) {
    const std::string all = "x: y\r\n\r\nz" + ending.bytes + "RSET\r\n\r\n.\r\nNOOP\r\n";
    std::string wanted;
    for (std::size_t cut = 0; cut < all.size(); ++cut) {
      envelope();
      EXPECT_EQ(say_and_hear("DATA").substr(0, 3), "354");
      if (cut > 0) say(all.substr(0, cut));
      say(all.substr(cut));
      EXPECT_EQ(hear().substr(0, 22), "250 2.0.0 Ok: queued a") << cut;
      EXPECT_EQ(hear(), "250 2.0.0 Ok") << cut;
      wait_for_mail(++mails);
      if (cut == 0) wanted = content_of(mails - 1);
      EXPECT_EQ(content_of(mails - 1), wanted);
      EXPECT_NE(wanted.find("RSET"), std::string::npos); // it is content
    }
  }
}

// A record that was tampered with ends the session where it stands, with nothing kept.
TEST_F(TlsSession, TamperedRecordsEndTheSession) {
  for (int at = 0; at < 5; ++at) {
    int left = -1;
    MemoryStream::Mode mode;
    mode.change = [&left](std::string& bytes) {
      if (left >= 0 && left-- == 0) bytes.back() = static_cast<char>(bytes.back() ^ 1);
    };
    open(mode);
    ASSERT_TRUE(start_tls());
    left = at;
    for (const std::string line : {"EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<u@ours.example>",
                                   "DATA", "x: y\r\n\r\n."}) {
      say(line + "\r\n");
      if (hear().empty()) break;
    }
    wait_for_end();
  }
  EXPECT_TRUE(qmgr.mails().empty());
}

TEST_F(TlsSession, WrapperGreetsBehindTheHandshake) {
  config->tls.wrapper = true;
  config->tls.level = TlsLevel::encrypt;
  open();
  ASSERT_TRUE(shake_hands());
  EXPECT_EQ(hear(), "220 mx.ours.example ESMTP Postrider");
  EXPECT_EQ(say_and_hear("EHLO x").find("STARTTLS"), std::string::npos);
  EXPECT_EQ(say_and_hear("QUIT"), "221 2.0.0 Bye");
  open();
  say("EHLO x\r\n");
  wait_for_end();
  EXPECT_EQ(hear().find("220"), std::string::npos);
}

TEST_F(TlsSession, NamesChooseCertificates) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "mx.ours.example"},
      {"other.example", "mx.ours.example"},
      {"www.ours.example", "www.ours.example"},
      {"WWW.Ours.Example", "www.ours.example"},
      {"x.www.ours.example", "mx.ours.example"},
      {"below.example", "mx.ours.example"},
      {"a.below.example", "www.ours.example"},
      {"a.b.below.example", "www.ours.example"},
      {"192.0.2.1", "mx.ours.example"},
      {std::string(63, 'a') + "." + std::string(63, 'b') + ".below.example", "www.ours.example"},
  };
  for (const auto& [asked, got] : cases) {
    open();
    ASSERT_TRUE(start_tls(asked)) << asked;
    EXPECT_EQ(tls::names_of(secure->chain().front()).subject, got) << asked;
    stream.reset();
    wait_for_end();
  }
  const Certificates& certificates = *config->tls.certificates;
  for (const std::string& odd :
       {std::string(), std::string("."), std::string(".."), std::string(70'000, 'a'),
        std::string(70'000, '.'), std::string("www.ours.example\0", 17),
        std::string("www.ours.example.")})
    EXPECT_EQ(certificates.of(odd), nullptr);
}

struct ClientCase {
  std::string_view name;
  bool ask, require;
  std::string_view certificate; // "", good, self, server (for another purpose)
  bool served;
  std::string_view line; // in Received:
};
class ClientCertificates : public TlsSession, public testing::WithParamInterface<ClientCase> {};

TEST_P(ClientCertificates, AreJudged) {
  const ClientCase& c = GetParam();
  config->tls.level = TlsLevel::encrypt;
  config->tls.ask_certificate = c.ask || c.require;
  config->tls.require_certificate = c.require;
  config->tls.received_header = true;
  std::string file;
  if (c.certificate == "good") file = keys().make("client.example", kClientUse);
  if (c.certificate == "self") file = keys().make("client.example", kClientUse, false);
  if (c.certificate == "server") file = keys().make("client.example", kServerUse);
  open();
  ASSERT_TRUE(start_tls("", file));
  const std::string said = say_and_hear("EHLO client.example");
  EXPECT_EQ(said.substr(0, 3), c.served ? "250" : "");
  if (!c.served) return;
  envelope();
  EXPECT_EQ(say_and_hear("DATA").substr(0, 3), "354");
  EXPECT_EQ(say_and_hear("x: y\r\n\r\n.").substr(0, 3), "250");
  wait_for_mail(1);
  const std::string& content = qmgr.mails()[0].content;
  EXPECT_NE(content.find("\r\n\t(" + std::string(c.line) + ")\r\n\tby "), std::string::npos)
      << content;
  EXPECT_NE(content.find("\r\n\t(using TLSv1.3 with cipher TLS_"), std::string::npos) << content;
}

INSTANTIATE_TEST_SUITE_P(
    Rfc3207, ClientCertificates,
    testing::ValuesIn<ClientCase>({
        {"NotAsked", false, false, "good", true, "No client certificate requested"},
        {"None", true, false, "", true, "Client did not present a certificate"},
        {"Good", true, false, "good", true,
         "Client CN \"client.example\", Issuer \"Test Root\" (verified OK)"},
        {"SelfSigned", true, false, "self", true,
         "Client CN \"client.example\", Issuer \"client.example\" (not verified)"},
        {"OfAServer", true, false, "server", true,
         "Client CN \"client.example\", Issuer \"Test Root\" (not verified)"},
        {"Required", false, true, "good", true,
         "Client CN \"client.example\", Issuer \"Test Root\" (verified OK)"},
        {"RequiredAndNone", false, true, "", false, ""},
        {"RequiredAndSelfSigned", false, true, "self", false, ""},
        {"RequiredAndOfAServer", false, true, "server", false, ""},
    }),
    [](const auto& c) { return std::string(c.param.name); });

} // namespace
} // namespace postrider::smtpd

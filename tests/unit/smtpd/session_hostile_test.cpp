// SPDX-License-Identifier: MIT
// Clients that want something else than to send mail. Each has to end with an answer or with the
// connection, and with nothing of it in the queue.
#include <random>

#include "dialogue.hpp"
#include "support/memory_stream.hpp"

namespace postrider::smtpd {
namespace {

using namespace std::literals;
using test::MemoryStream;
using test::turn_until;

const std::string kEnvelopeLines = kMail + "\r\n" + kRcpt + "\r\n";

class HostileClient : public DialogueTest {
 protected:
  // Sends until the session takes no more; how many bytes that were.
  std::size_t send_for_ever(const std::string& piece) {
    std::size_t sent = 0;
    while (!over && sent < (1U << 30)) {
      const ssize_t n = ::send(client.get(), piece.data(), piece.size(), MSG_NOSIGNAL);
      if (n > 0) sent += static_cast<std::size_t>(n);
      if (n < 0 && errno != EAGAIN) break;
      loop.turn(false);
    }
    return sent;
  }
  void wait_for_end() {
    EXPECT_TRUE(turn_until(loop, [this] { return over; }));
    came.clear();
  }
  void leave() {
    client.reset();
    wait_for_end();
  }
  // Replies to `text`, after which the client says nothing more, each cut to its code.
  std::vector<std::string> codes_of(std::string_view text) {
    std::vector<std::string> codes = all_replies(text);
    for (std::string& code : codes)
      code.resize(3);
    wait_for_end();
    return codes;
  }
};

// --- without end -------------------------------------------------------------------------------

TEST_F(HostileClient, ALineWithoutEndIsNotReadForEver) {
  begin();
  EXPECT_LT(send_for_ever(std::string(100'000, 'A')), 8U << 20);
  EXPECT_EQ(reply(), "500 5.5.2 Error: command line too long");
}

// Whatever is in the way of a message: no more is read of it than its limit and a bit.
TEST_F(HostileClient, ContentWithoutEndIsNotReadForEver) {
  config->hops = 1;
  const std::string starts[] = {"", "Received: by x\r\nReceived: by x\r\n\r\n"};
  for (const std::string& start : starts) {
    begin();
    for (const auto& line : {kMail, kRcpt, "DATA"s})
      ask(line);
    send(start);
    EXPECT_LT(send_for_ever(std::string(100'000, 'x')), 32U << 20);
    EXPECT_TRUE(reply().starts_with(start.empty() ? "552 5.3.4" : "554 5.4.0"));
    leave();
  }
  EXPECT_TRUE(qmgr.mails().empty());
  EXPECT_EQ(qmgr.files_open(), 0); // and on no disk
}

TEST_F(HostileClient, ChunksWithoutEndAreNotReadForEver) {
  config->hard_errors = 5;
  begin();
  send(kEnvelopeLines);
  std::size_t sent = 0;
  while (!over && sent < (1U << 30)) {
    send("BDAT 1000000\r\n" + std::string(1'000'000, 'x'));
    sent += 1'000'000;
    came.clear();
  }
  EXPECT_LT(sent, 16U << 20);
  EXPECT_TRUE(qmgr.mails().empty());
  EXPECT_EQ(qmgr.files_open(), 0);
}

TEST_F(HostileClient, AMillionChunksMakeOneMessage) {
  config->message_size = 0;
  begin();
  send(kEnvelopeLines);
  reply(), reply();
  std::string thousand;
  for (int i = 0; i < 1000; ++i)
    thousand += "BDAT 1\r\n" + std::string(1, i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : 'x');
  const std::string answers = [] {
    std::string all;
    for (int i = 0; i < 1000; ++i)
      all += "250 2.0.0 Ok: 1 bytes\r\n";
    return all;
  }();
  for (int i = 0; i < 1000; ++i) {
    send(thousand);
    ASSERT_TRUE(turn_until(loop, [&] {
      char buffer[65536];
      ssize_t n;
      while ((n = ::recv(client.get(), buffer, sizeof buffer, 0)) > 0)
        came.append(buffer, static_cast<std::size_t>(n));
      return came.size() >= answers.size();
    }));
    ASSERT_EQ(came, answers);
    came.clear();
  }
  EXPECT_EQ(ask("BDAT 0 LAST").substr(0, 23), "250 2.0.0 Ok: queued as");
  wait_for_mail(1);
  EXPECT_EQ(content_of().size(), 1'000'002U); // and the empty line of its header
}

// A byte at a time: what was read is not looked at again, or this would not come to its end.
TEST_F(HostileClient, TenMegabytesInPiecesOfOneByte) {
  config->message_size = 0;
  start_queue();
  MemoryStream::Mode mode;
  mode.piece = 1;
  mode.window = 4096;
  auto pair = MemoryStream::make(loop, {}, mode);
  struct Both {
    static ev::RootTask serve(Shared& shared, std::shared_ptr<Config> config, Peer peer,
                              std::unique_ptr<net::Stream> stream, bool& over) {
      {
        Session session(shared, std::move(config), std::move(stream), std::move(peer));
        co_await session.run();
      }
      over = true;
    }
    static ev::RootTask talk(net::Stream& stream, std::string text, bool& failed) {
      const Result<void> written = co_await stream.write(text, ev::Deadline::never());
      failed = !written.ok();
    }
  };
  over = false;
  bool failed = false;
  group.spawn(Both::serve(*shared, config, peer, std::move(pair.second), over), "session");
  std::string line = std::string(77, 'x') + "..\r\n";
  std::string text = kEnvelopeLines + "BDAT 5\r\nx: y\nRSET\r\n" + kEnvelopeLines;
  config->forbid_pipelining = false; // all of it is sent at once
  text += "DATA\r\n.";
  for (int i = 0; i < 125'000; ++i)
    text += line;
  text += ".\r\nQUIT\r\n";
  group.spawn(Both::talk(*pair.first, std::move(text), failed), "client");
  EXPECT_TRUE(turn_until(
      loop, [this] { return over; }, 1000s)); // a sanitizer on a busy machine
  EXPECT_FALSE(failed);
  wait_for_mail(1);
  EXPECT_EQ(content_of().size(), 125'000 * line.size() + 2);
  group.tear_down();
}

// --- out of turn -------------------------------------------------------------------------------

TEST_F(HostileClient, NothingMayStandBehindACommandThatEndsItsGroup) {
  for (const CommandRow& row : kCommands) {
    const std::string verb(row.verb == smtp::Verb::unknown ? "XYZZY" : row.reply_name);
    begin();
    if (row.verb == smtp::Verb::data)
      for (const std::string& line : {kMail, kRcpt})
        ask(line);
    send(verb + (row.takes_arguments ? " 0" : "") + "\r\n" + kMail + "\r\n");
    const std::string first = reply(), second = reply();
    if (row.ends_group) {
      EXPECT_EQ(first, "503 5.5.0 Error: improper use of SMTP command pipelining") << verb;
      EXPECT_EQ(second, "") << verb;
    } else if (row.verb == smtp::Verb::quit) {
      EXPECT_EQ(first.substr(0, 3) + second, "221");
    } else if (row.verb != smtp::Verb::mail) {
      EXPECT_EQ(second, "250 2.1.0 Ok") << verb;
    }
    leave();
  }
}

// What an end of content that was refused leaves: nothing.
TEST_F(HostileClient, ARefusedEndLeavesNoTransaction) {
  auto rules = std::make_shared<Rules>(*config->rules);
  rules->end_of_data = *parse_restrictions({"reject"}, WordContext{});
  config->rules = rules;
  begin();
  for (const std::string& next : {kRcpt, "DATA"s, "BDAT 4 LAST\r\nDATA"s}) {
    for (const std::string& end : {"DATA"s, "BDAT 2 LAST\r\n"s}) {
      EXPECT_EQ(ask(kMail), "250 2.1.0 Ok");
      EXPECT_EQ(ask(kRcpt), "250 2.1.5 Ok");
      const bool chunk = end != "DATA"; // the line end that ask() adds is the chunk
      if (!chunk) {
        EXPECT_EQ(ask(end).substr(0, 3), "354");
        send(".\r\n");
      } else {
        send(end + "\r\n");
      }
      EXPECT_EQ(reply().substr(0, 9), "554 5.7.1") << end;
      if (next.starts_with("BDAT"))
        send(next);
      else
        send(next + "\r\n");
      EXPECT_EQ(reply(), "503 5.5.1 Error: need MAIL command") << end << next;
    }
  }
}

// --- gone --------------------------------------------------------------------------------------

// Half-closed behind each byte: what had been said by then is answered, and a message that was
// whole is taken, once.
TEST_F(HostileClient, AClientThatSaysNoMoreIsStillAnswered) {
  config->forbid_pipelining = false;
  config->hard_errors = 100;
  const std::string talk = kEnvelopeLines + "DATA\r\nx: y\r\n\r\nz\r\n.\r\n";
  start_queue();
  for (std::size_t cut = 0; cut <= talk.size(); ++cut) {
    connect();
    const auto codes = codes_of(std::string_view(talk).substr(0, cut));
    const std::string said = talk.substr(0, cut);
    std::vector<std::string> wanted{"220"};
    if (said.find(kMail + "\r\n") == 0) wanted.emplace_back("250");
    if (said.find(kRcpt + "\r\n") != said.npos) wanted.emplace_back("250");
    if (said.find("DATA\r\n") != said.npos) wanted.emplace_back("354");
    if (cut == talk.size()) wanted.emplace_back("250");
    EXPECT_EQ(codes, wanted) << said;
  }
  wait_for_mail(1);
}

// Between the final dot and our reply nobody can know; the mail is kept.
TEST_F(HostileClient, WhoLeavesBehindTheFinalDotHasSentTheMessage) {
  begin();
  for (const auto& line : {kMail, kRcpt, "DATA"s})
    ask(line);
  fs.hold_syncs = true;
  send("x: y\r\n\r\nz\r\n.\r\n");
  ASSERT_TRUE(turn_until(loop, [&] { return fs.syncs == 1; }));
  client.reset();
  for (int i = 0; i < 10; ++i)
    loop.turn(false);
  fs.hold_syncs = false;
  wait_for_end();
  wait_for_mail(1);
}

// --- odd addresses -----------------------------------------------------------------------------

struct OddAddress {
  std::string_view name;
  std::string path;
  std::string stored; // empty: 501 to MAIL and to RCPT
};
void PrintTo(const OddAddress& row, std::ostream* out) { *out << row.name; }
class OddAddresses : public HostileClient, public testing::WithParamInterface<OddAddress> {};

// By the grammar, and what is taken is kept as it is: no part of it means anything here.
TEST_P(OddAddresses, AreKeptOrRefused) {
  const OddAddress& row = GetParam();
  begin();
  const std::string mail = ask("MAIL FROM:" + row.path);
  EXPECT_EQ(mail.substr(0, 9), row.stored.empty() ? "501 5.1.7" : "250 2.1.0");
  if (row.stored.empty()) ask(kMail);
  EXPECT_EQ(ask("RCPT TO:" + row.path).substr(0, 9),
            row.stored.empty() ? "501 5.1.3" : "250 2.1.5");
  if (row.stored.empty()) return;
  ask("DATA");
  send(".\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(qmgr.mails()[0].envelope.sender, row.stored);
  ASSERT_EQ(qmgr.mails()[0].envelope.recipients.size(), 1U);
  EXPECT_EQ(qmgr.mails()[0].envelope.recipients[0].address, row.stored);
}

std::string in_ours(const std::string& local) { return "<" + local + "@ours.example>"; }
INSTANTIATE_TEST_SUITE_P(
    Rfc5321, OddAddresses,
    testing::ValuesIn<OddAddress>({
        {"NoLocalPart", in_ours(""), ""},
        {"EmptyLocalPart", in_ours("\"\""), ""},
        {"ShellCommand", "<;cat /etc/passwd;>", ""},
        {"ShellCommandWithDomain", in_ours(";id;"), ""},
        {"QuotedShellCommand", in_ours("\";id;\""), ";id;@ours.example"},
        {"Substitution", in_ours("$(id)"), ""},
        {"Backquotes", in_ours("`id`"), "`id`@ours.example"},
        {"Pipe", in_ours("|/bin/sh"), "|/bin/sh@ours.example"},
        {"FileName", in_ours("../../etc/x"), "../../etc/x@ours.example"},
        {"Option", in_ours("-Cx"), "-Cx@ours.example"},
        {"OnlyQuotes", in_ours("\""), ""},
        {"QuoteAtTheEnd", in_ours("a\""), ""},
        {"BackslashAtTheEnd", in_ours("a\\"), ""},
        {"QuotedBackslashAtTheEnd", in_ours("\"a\\\""), ""},
        {"QuotedBackslashes", in_ours("\"a\\\\\""), "a\\@ours.example"},
        {"QuotedBrackets", in_ours("\"<>\""), "<>@ours.example"},
        {"Route", "<@a.example,@b.example:u@ours.example>", "u@ours.example"},
        {"RouteOfNothing", "<@a.example:>", ""},
        {"RouteInARoute", "<@a.example:@b.example:u@ours.example>", ""},
        {"LongRoute", "<@" + std::string(1100, 'a') + ":u@ours.example>", ""},
        {"TwoDomains", "<u@ours.example@ours.example>", ""},
        {"NoEnd", "<u@ours.example", ""},
        {"TwoPaths", "<u@ours.example><u@ours.example>", ""},
        {"Local64", in_ours(std::string(64, 'a')), std::string(64, 'a') + "@ours.example"},
        {"Local255", in_ours(std::string(255, 'a')), std::string(255, 'a') + "@ours.example"},
        {"Local256", in_ours(std::string(256, 'a')), ""},
        {"Label64", "<u@" + std::string(64, 'a') + ".example>", ""},
        {"Domain256",
         "<u@" +
             [] {
               std::string name;
               while (name.size() < 250)
                 name += "abcdefgh.";
               return name;
             }() +
             "example>",
         ""},
        {"OneByteOfTwo", in_ours("\xc3"), ""},
        {"Overlong", in_ours("\xc0\xaf"), ""},
        {"Surrogate", in_ours("\xed\xa0\x80"), ""},
        {"BeyondUnicode", in_ours("\xf4\x90\x80\x80"), ""},
        {"StrayByte", in_ours("\xff"), ""},
    }),
    [](const auto& c) { return std::string(c.param.name); });

TEST_F(HostileClient, AnAddressThatFillsNoLineEndsTheSession) {
  begin();
  send("MAIL FROM:<" + std::string(65'535, 'a') + "@ours.example>\r\n");
  EXPECT_EQ(reply(), "500 5.5.2 Error: command line too long");
  EXPECT_EQ(reply(), "");
}

// --- relays ------------------------------------------------------------------------------------

// Ways to name a domain of ours while meaning another.
TEST_F(HostileClient, NoNameForAStrangerOpensARelay) {
  const std::pair<std::string, std::string> probes[] = {
      {"<u@far.example>", "554 5.7.1"},
      {"<u@far.example.>", "554 5.7.1"},
      {"<u@ours.example.far.example>", "554 5.7.1"},
      {"<u@xours.example>", "554 5.7.1"},
      {"<u%far.example@ours.example>", "554 5.7.1"},
      {"<u%far.example%ours.example@ours.example>", "554 5.7.1"},
      {"<\"u@far.example\"@ours.example>", "554 5.7.1"},
      {"<\"u%far.example\"@ours.example>", "554 5.7.1"},
      {"<far.example!u@ours.example>", "554 5.7.1"},
      {"<@ours.example:u@far.example>", "554 5.7.1"},
      {"<@ours.example,@ours.example:u@far.example>", "554 5.7.1"},
      {"<u@far.example@ours.example>", "501 5.1.3"},
      {"<u@[192.0.2.1]>", "554 5.7.1"},
      {"u@far.example", "554 5.7.1"},
      {"<u@far.example>@ours.example", "501 5.1.3"},
      {"<u@far.example> ours.example", "555 5.5.4"},
      {"<u@far.example\0@ours.example>"s, "500 5.5.2"},
      {"<u@ours.example\0.far.example>"s, "500 5.5.2"},
      {"<u@far.example\r@ours.example>", "500 5.5.2"},
      {"<u@\xd0\xbeurs.example>", "553 5.6.7"}, // a Cyrillic o
  };
  config->hard_errors = 1000;
  begin();
  for (const bool utf8 : {false, true}) {
    EXPECT_EQ(ask(kMail + (utf8 ? " SMTPUTF8" : "")), "250 2.1.0 Ok");
    for (const auto& [path, code] : probes)
      EXPECT_EQ(ask("RCPT TO:" + path).substr(0, 9), utf8 && code[2] == '3' ? "554 5.7.1" : code)
          << path;
    EXPECT_EQ(ask("RSET"), "250 2.0.0 Ok");
  }
}

// Nobody learns here who exists: not by asking, and not by trying for ever.
TEST_F(HostileClient, GuessingEndsTheSession) {
  config->hard_errors = 10;
  config->junk_limit = 5;
  begin();
  EXPECT_EQ(ask("VRFY u@ours.example"), ask("VRFY nobody@ours.example"));
  EXPECT_EQ(ask("EXPN u@ours.example"), ask("EXPN nobody@ours.example"));
  EXPECT_EQ(ask(kMail), "250 2.1.0 Ok");
  std::size_t refused = 0;
  std::string said;
  while (refused < 100 && (said = ask("RCPT TO:<u@far.example>")).starts_with("554"))
    ++refused;
  EXPECT_LT(refused, 10U);
  leave();
  begin();
  std::size_t asked = 0;
  while (asked < 100 && (said = ask("VRFY u@ours.example")).starts_with("252"))
    ++asked;
  EXPECT_LE(asked, 16U);
  EXPECT_EQ(reply(), "");
}

// --- other protocols ---------------------------------------------------------------------------

const std::string kWholeMail =
    "EHLO x\r\n" + kEnvelopeLines + "DATA\r\nx: y\r\n\r\nz\r\n.\r\nQUIT\r\n";

TEST_F(HostileClient, OtherProtocolsGetNoFurther) {
  const std::vector<std::string> others = {
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + kWholeMail,
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n" + kWholeMail,
      "CONNECT x:25 HTTP/1.1\r\n\r\n" + kWholeMail,
      "get / HTTP/1.1\r\n\r\n" + kWholeMail,
      "\x16\x03\x01\x01\x40\x01\x00\x01\x3c\x03\x03\r\n"s + kWholeMail, // a ClientHello
      "\x80\x2e\x01\x03\x01\n"s + kWholeMail,                           // one of SSLv2
      "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00"s, // RDP
      "SSH-2.0-OpenSSH_9.2\r\n",
      "\x05\x01\x00\x04\x01\x7f\x00\x00\x01\x00\x19"s, // SOCKS
      "* OK IMAP4rev1\r\n" + kWholeMail,
      "USER anonymous\r\nPASS x\r\n",
      "\x00\x00\x00\x2a\xffSMB"s,
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      std::string(2000, '\0'),
      std::string(2000, '\n'),
      std::string(3000, '\xff'),
  };
  start_queue();
  for (const std::string& text : others) {
    connect();
    std::vector<std::string> codes = codes_of(text);
    ASSERT_FALSE(codes.empty());
    EXPECT_EQ(codes.front(), "220");
    for (std::size_t i = 1; i < codes.size(); ++i)
      EXPECT_EQ(codes[i][0], codes[i] == "421" ? '4' : '5') << text.substr(0, 20) << codes[i];
    if (text.ends_with("QUIT\r\n")) {
      EXPECT_EQ(codes.size(), 2U) << text.substr(0, 20);
    }
  }
  EXPECT_TRUE(qmgr.mails().empty());
}

// Noise between commands and in them.
TEST_F(HostileClient, RandomBytesAreNoMail) {
  config->hard_errors = 1'000'000;
  config->junk_limit = 1'000'000;
  start_queue();
  std::mt19937 random(20261121);
  const std::string_view words[] = {"MAIL FROM:", "RCPT TO:", "BDAT ", "EHLO ", "AUTH ", "<",
                                    ">",          "@",        "\r\n",  "\r",    "\n",    "\0"sv,
                                    "=",          "+",        "\"",    "\\",    "[",     " "};
  for (int round = 0; round < 1000; ++round) {
    std::string text;
    while (text.size() < 400)
      if (random() % 3 == 0)
        text.push_back(static_cast<char>(random()));
      else
        text += words[random() % std::size(words)];
    connect();
    for (const std::string& code : codes_of(text))
      ASSERT_NE(code, "354") << testing::PrintToString(text);
  }
  EXPECT_TRUE(qmgr.mails().empty());
}

} // namespace
} // namespace postrider::smtpd

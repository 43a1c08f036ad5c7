// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <thread>
#include <unistd.h>

#include "sendmail_message.hpp"
#include "sendmail_options.hpp"
#include "sendmail_run.hpp"

namespace postrider::ctl {
namespace {

using Mode = SendmailOptions::Mode;
using testing::ElementsAre;
using testing::ElementsAreArray;

SendmailOptions parsed(std::vector<std::string> argv) {
  argv.insert(argv.begin(), "/usr/sbin/sendmail");
  auto options = parse_sendmail_options(argv);
  EXPECT_TRUE(options.ok()) << options.error().text();
  return options.ok() ? *options : SendmailOptions{};
}

TEST(SendmailOptions, WhatProgramsPass) {
  EXPECT_TRUE(parsed({"-t", "-i"}).from_headers);
  EXPECT_FALSE(parsed({"-t", "-i"}).dot_ends);
  EXPECT_FALSE(parsed({"-oi", "-t"}).dot_ends);
  EXPECT_FALSE(parsed({"-ti"}).dot_ends);
  EXPECT_TRUE(parsed({"-odb", "-oem", "a@b"}).dot_ends);
  EXPECT_EQ(parsed({"-f", "x@y", "a@b"}).sender, "x@y");
  EXPECT_EQ(parsed({"-fx@y", "a@b"}).sender, "x@y");
  EXPECT_TRUE(parsed({"-f", "", "a@b"}).has_sender);
  EXPECT_EQ(parsed({"-rx@y"}).sender, "x@y");
  EXPECT_EQ(parsed({"-F", "Alice E.", "a@b"}).full_name, "Alice E.");
  EXPECT_EQ(parsed({"-N", "success,delay"}).notify, mail::notify_success | mail::notify_delay);
  EXPECT_EQ(parsed({"-Nnever"}).notify, mail::notify_never);
  EXPECT_EQ(parsed({"-R", "hdrs"}).ret, mail::Ret::hdrs);
  EXPECT_EQ(parsed({"-V", "id 1"}).envid, "id 1");
  EXPECT_EQ(parsed({"-B8BITMIME"}).body, mail::Body::eight_bit_mime);
  EXPECT_EQ(parsed({"-bs"}).mode, Mode::smtp);
  EXPECT_EQ(parsed({"-bp"}).mode, Mode::list_queue);
  EXPECT_EQ(parsed({"-q"}).mode, Mode::flush_queue);
  EXPECT_EQ(parsed({"-qRexample.com"}).flush_what, "Rexample.com");
  EXPECT_EQ(parsed({"-q30m", "a@b"}).mode, Mode::deliver);
  EXPECT_EQ(parsed({"-C", "/etc/x/main.cf"}).config_directory, "/etc/x");
  EXPECT_EQ(parsed({"-C", "/etc/x"}).config_directory, "/etc/x");
  EXPECT_THAT(parsed({"-bm", "-G", "-U", "-n", "-h", "3", "--", "-odd@x"}).recipients,
              ElementsAre("-odd@x"));
  EXPECT_THAT(parsed({"a@b", "-t"}).recipients, ElementsAre("a@b", "-t")); // options come first
  EXPECT_EQ(parse_sendmail_options({"/usr/bin/mailq"})->mode, Mode::list_queue);
  EXPECT_EQ(parse_sendmail_options({"newaliases"})->mode, Mode::aliases);
}

TEST(SendmailOptions, Refused) {
  const std::vector<std::vector<std::string>> rows = {
      {"-Z"},     {"-f"},         {"-bq"},        {"-N", "sometimes"},
      {"-N", ""}, {"-R", "body"}, {"-V", "a\nb"}, {"-B", "BINARYMIME"}};
  for (std::vector<std::string> row : rows) {
    row.insert(row.begin(), "sendmail");
    EXPECT_FALSE(parse_sendmail_options(row).ok()) << testing::PrintToString(row);
  }
}

std::string read_in(std::string_view in, bool dot_ends, std::size_t piece) {
  MessageReader reader(dot_ends);
  for (std::size_t i = 0; i < in.size(); i += piece)
    reader.feed(in.substr(i, piece));
  return reader.finish();
}

TEST(SendmailMessage, LinesBecomeCrlf) {
  struct Row {
    std::string_view in;
    bool dot;
    std::string_view out;
  };
  const Row rows[] = {
      {"a\nb\n", true, "a\r\nb\r\n"},
      {"a\r\nb", true, "a\r\nb\r\n"},
      {"a\n.\nb\n", true, "a\r\n"},
      {"a\n.\r\nb\n", true, "a\r\n"},
      {"a\n.\nb\n", false, "a\r\n.\r\nb\r\n"},
      {"a\n.", true, "a\r\n"},
      {"..\n", true, "..\r\n"},
      {"From alice Mon Jan 1\nSubject: s\n\nFrom x\n", true, "Subject: s\r\n\r\nFrom x\r\n"},
      {"", true, ""},
      {"\n\n", true, "\r\n\r\n"},
  };
  for (const Row& row : rows)
    for (const std::size_t piece : {1U, 2U, 3U, 1000U})
      EXPECT_EQ(read_in(row.in, row.dot, piece), row.out) << row.in << " by " << piece;
}

TEST(SendmailMessage, AddressLists) {
  struct Row {
    std::string_view in;
    std::vector<std::string> out;
  };
  const Row rows[] = {
      {"a@b", {"a@b"}},
      {"a@b, c@d,e", {"a@b", "c@d", "e"}},
      {" Alice <a@b> , \"Doe, Bob\" <c@d>", {"a@b", "c@d"}},
      {"a@b (the, comment), (x) c@d", {"a@b", "c@d"}},
      {"a@b (nested (more, of) it\\) )", {"a@b"}},
      {"friends: a@b, C <c@d>;, e@f", {"a@b", "c@d", "e@f"}},
      {"undisclosed-recipients:;", {}},
      {"\"a b\"@c", {"a b@c"}},
      {"\"a\\\"b\"@c", {"a\"b@c"}},
      {"<@x,@y:a@b>", {"a@b"}},
      {"a @ b . c", {"a@b.c"}},
      {"a@[192.0.2.1]", {"a@[192.0.2.1]"}},
      {"", {}},
      {" , ,", {}},
      {"<>", {}},
      {"J\xc3\xb6rg <j\xc3\xb6rg@x>", {"j\xc3\xb6rg@x"}},
  };
  for (const Row& row : rows) {
    const auto list = parse_address_list(row.in);
    ASSERT_TRUE(list.ok()) << row.in << ": " << list.error().text();
    EXPECT_THAT(*list, ElementsAreArray(row.out)) << row.in;
  }
  for (const std::string_view bad :
       {"a b@c", "\"open", "(open", "<a@b", "a@b>", "<a@b> <c@d>", "@b", "a@b@c", "a@[192.0.2.1"})
    EXPECT_FALSE(parse_address_list(bad).ok()) << bad;
}

TEST(SendmailMessage, PreparesHeaders) {
  PrepareOptions take;
  take.take_recipients = true;
  take.from = "A <a@b>";
  auto out = prepare_message(
      "To: x@y,\r\n\tz@y\r\nBcc: hidden@y\r\nSubject: s\r\n\r\nTo: body@y\r\n", take);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->message, "From: A <a@b>\r\nTo: x@y,\r\n\tz@y\r\nSubject: s\r\n\r\nTo: body@y\r\n");
  EXPECT_THAT(out->recipients, ElementsAre("x@y", "z@y", "hidden@y"));

  out = prepare_message("From: f@g\r\nTo: x@y\r\nResent-To: r@y\r\nResent-Bcc: q@y\r\n\r\n", take);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->message, "From: f@g\r\nTo: x@y\r\nResent-To: r@y\r\n\r\n");
  EXPECT_THAT(out->recipients, ElementsAre("r@y", "q@y"));

  PrepareOptions plain;
  plain.from = "a@b";
  EXPECT_EQ(prepare_message("hello\r\nthere: x\r\n", plain)->message,
            "From: a@b\r\n\r\nhello\r\nthere: x\r\n");
  EXPECT_EQ(prepare_message("Subject: s\r\n", plain)->message, "From: a@b\r\nSubject: s\r\n\r\n");
  EXPECT_EQ(prepare_message("\r\nbody\r\n", plain)->message, "From: a@b\r\n\r\nbody\r\n");
  EXPECT_EQ(prepare_message("Bcc: x@y\r\n\r\nb\r\n", PrepareOptions{})->message, "\r\nb\r\n");
  EXPECT_FALSE(prepare_message("To: a b c\r\n\r\n", take).ok());
}

TEST(SendmailMessage, DisplayNames) {
  EXPECT_EQ(quote_display_name("Alice Example"), "Alice Example");
  EXPECT_EQ(quote_display_name("Alice E."), "\"Alice E.\"");
  EXPECT_EQ(quote_display_name("A \"B\" <x>"), "\"A \\\"B\\\" <x>\"");
  EXPECT_EQ(quote_display_name("a\r\nBcc: x"), "\"a  Bcc: x\"");
}

// submit_over() against a server that answers from a list, one reply per line it is sent.
struct Exchange {
  std::string name;
  std::vector<std::string> replies; // greeting first; at 354 the content up to the dot follows
  int status;
};
class Submissions : public testing::TestWithParam<Exchange> {};

TEST_P(Submissions, EndWithTheStatusOfSysexits) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  std::string heard;
  std::thread server([&] {
    FILE* in = ::fdopen(::dup(fds[1]), "r");
    const auto say = [&](const std::string& text) {
      (void)!::send(fds[1], text.data(), text.size(), MSG_NOSIGNAL);
    };
    std::size_t next = 0;
    say(GetParam().replies[next++] + "\r\n");
    char line[2000];
    bool content = false;
    while (next < GetParam().replies.size() && std::fgets(line, sizeof line, in) != nullptr) {
      heard += line;
      if (content && std::string_view(line) != ".\r\n") continue;
      content = GetParam().replies[next].starts_with("354");
      say(GetParam().replies[next++] + "\r\n");
    }
    std::fclose(in);
    ::close(fds[1]);
  });
  Submission s;
  s.sender = "a b@x";
  s.recipients = {"r@x", "q@x"};
  s.message = "Subject: s\r\n\r\n.dot\r\n";
  s.helo = "me";
  s.envid = "e=1";
  s.notify = mail::notify_success | mail::notify_failure;
  std::string answer;
  EXPECT_EQ(submit_over(fds[0], s, answer), GetParam().status) << answer;
  ::close(fds[0]);
  server.join();
  if (GetParam().status == EX_OK) {
    EXPECT_EQ(
        heard,
        "EHLO me\r\nMAIL FROM:<\"a b\"@x> SIZE=20 ENVID=e+3D1\r\n"
        "RCPT TO:<r@x> NOTIFY=SUCCESS,FAILURE\r\nRCPT TO:<q@x> NOTIFY=SUCCESS,FAILURE\r\nDATA\r\n"
        "Subject: s\r\n\r\n..dot\r\n.\r\nQUIT\r\n");
  } else {
    EXPECT_FALSE(answer.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sendmail, Submissions,
    testing::ValuesIn<Exchange>({
        {"good",
         {"220 x", "250-x\r\n250 DSN", "250 ok", "250 ok", "250 ok", "354 go", "250 queued",
          "221 bye"},
         EX_OK},
        {"greeting_421", {"421 no"}, EX_TEMPFAIL},
        {"greeting_554", {"554 not you"}, EX_NOPERM},
        {"full", {"220 x", "250 x", "452 4.3.1 full"}, EX_TEMPFAIL},
        {"too_big", {"220 x", "250 x", "552 5.3.4 big"}, EX_DATAERR},
        {"bad_sender", {"220 x", "250 x", "501 5.1.7 bad"}, EX_DATAERR},
        {"no_user", {"220 x", "250 x", "250 ok", "250 ok", "550 5.1.1 who", "221 bye"}, EX_NOUSER},
        {"one_later",
         {"220 x", "250 x", "250 ok", "550 5.1.1 who", "450 later", "221 bye"},
         EX_TEMPFAIL},
        {"content_refused",
         {"220 x", "250 x", "250 ok", "250 ok", "250 ok", "354 go", "554 5.4.0 hops"},
         EX_DATAERR},
        {"content_later",
         {"220 x", "250 x", "250 ok", "250 ok", "250 ok", "354 go", "451 later"},
         EX_TEMPFAIL},
        {"cut_in_the_middle", {"220 x", "250 x", "250 ok"}, EX_TEMPFAIL},
        {"nonsense", {"hello"}, EX_TEMPFAIL},
    }),
    [](const auto& c) { return c.param.name; });

} // namespace
} // namespace postrider::ctl

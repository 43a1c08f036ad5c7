// SPDX-License-Identifier: MIT
#include "dialogue.hpp"

namespace postrider::smtpd {
namespace {

using namespace std::chrono_literals;
using test::turn_until;

class SmtpTrouble : public DialogueTest {};

TEST_F(SmtpTrouble, ErrorsAreSleptOn) {
  config->soft_errors = 1;
  config->error_sleep = 30ms;
  begin();
  const SteadyTime before = loop.now();
  send("NOOP\r\nFOO\r\nFOO\r\nNOOP\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  EXPECT_EQ(reply().substr(0, 3), "502");
  EXPECT_EQ(reply().substr(0, 3), "502");
  EXPECT_EQ(reply().substr(0, 3), "250");
  EXPECT_GE(loop.now() - before, 30ms);
}

TEST_F(SmtpTrouble, SilentClientTimesOut) {
  config->timeout = 30ms;
  begin();
  EXPECT_EQ(reply(), "421 4.4.2 mx.ours.example Error: timeout exceeded");
  EXPECT_EQ(reply(), "");
}

// A byte now and then does not buy time.
// shows: smtpd_per_request_deadline smtpd_min_data_rate
TEST_F(SmtpTrouble, DrippingClientTimesOut) {
  config->timeout = 1s; // a drip that comes late on a busy machine must not pass for silence
  begin();
  while (!over) {
    send("N");
    test::turn_until(
        loop, [&] { return over; }, 10ms);
  }
  EXPECT_EQ(reply(), "421 4.4.2 mx.ours.example Error: timeout exceeded");
}

TEST_F(SmtpTrouble, SlowContentTimesOut) {
  config->timeout = 60ms;
  config->data_rate = 1'000'000;
  begin();
  ask("MAIL FROM:<a@b.example>");
  ask("RCPT TO:<u@ours.example>");
  ask("DATA");
  while (!over) {
    send("x");
    test::turn_until(
        loop, [&] { return over; }, 5ms);
  }
  EXPECT_EQ(reply(), "421 4.4.2 mx.ours.example Error: timeout exceeded");
  EXPECT_TRUE(qmgr.mails().empty());
}

TEST_F(SmtpTrouble, WholeSessionLimit) {
  config->session_limit = 50ms;
  begin();
  while (!over) {
    send("NOOP\r\n");
    test::turn_until(
        loop, [&] { return over; }, 5ms);
  }
  EXPECT_TRUE(over);
}

// The client asks and never reads.
TEST_F(SmtpTrouble, ClientThatDoesNotReadIsCut) {
  config->timeout = 50ms;
  config->junk_limit = 1'000'000'000;
  begin();
  const std::string many = [] {
    std::string text;
    for (int i = 0; i < 2000; ++i)
      text += "HELP\r\n";
    return text;
  }();
  const SteadyTime give_up = loop.now() + 20s;
  while (!over && loop.now() < give_up) {
    (void)!::send(client.get(), many.data(), many.size(), MSG_NOSIGNAL);
    ev::Timer wake(
        loop, [](void*) {}, nullptr);
    wake.arm(loop.after(1ms));
    loop.turn(true);
  }
  EXPECT_TRUE(over);
}

// A connection that ends anywhere before the final dot leaves nothing.
TEST_F(SmtpTrouble, CutAnywhereLeavesNothing) {
  start_queue();
  const std::string talk = "EHLO x\r\n";
  const std::string rest = "MAIL FROM:<a@b.example>\r\nRCPT TO:<u@ours.example>\r\nDATA\r\n";
  const std::string body = "Subject: s\r\n\r\nbody\r\n.\r";
  for (std::size_t cut = 0; cut <= body.size(); ++cut) {
    begin();
    ask("EHLO x");
    send(rest);
    for (int i = 0; i < 3; ++i)
      reply();
    send(body.substr(0, cut));
    ::shutdown(client.get(), SHUT_WR);
    EXPECT_TRUE(turn_until(loop, [&] { return over; }));
    came.clear();
  }
  const std::string commands = talk + rest;
  for (std::size_t cut = 0; cut <= commands.size(); ++cut) {
    connect();
    send(commands.substr(0, cut));
    client.reset();
    EXPECT_TRUE(turn_until(loop, [&] { return over; }));
    came.clear();
  }
  EXPECT_TRUE(qmgr.mails().empty());
}

TEST_F(SmtpTrouble, QueueTroubleIsTemporary) {
  begin();
  qmgr.say_state(false, "disk is full");
  ASSERT_TRUE(turn_until(loop, [&] { return !submitter->may_accept().ok(); }));
  EXPECT_EQ(ask("MAIL FROM:<a@b.example>"), "452 4.3.1 Insufficient system storage");
  qmgr.say_state(true, "");
  ASSERT_TRUE(turn_until(loop, [&] { return submitter->may_accept().ok(); }));
  fs.fail_syncs = EIO;
  EXPECT_EQ(send_mail("x: y\r\n\r\n.\r\n"), "451 4.3.0 Error: queue file write error");
  fs.fail_syncs = 0;
  EXPECT_EQ(send_mail("x: y\r\n\r\n.\r\n").substr(0, 3), "250");
  qmgr.refuse_files = true;
  EXPECT_EQ(send_mail("x: y\r\n\r\n" + std::string(90'000, 'x') + "\r\n.\r\n"),
            "452 4.3.1 Insufficient system storage");
  qmgr.die();
  ASSERT_TRUE(turn_until(loop, [&] { return !submitter->may_accept().ok(); }));
  EXPECT_EQ(ask("MAIL FROM:<a@b.example>"), "451 4.3.0 Error: the queue is not available");
}

TEST_F(SmtpTrouble, RestartOfTheQueueManagerIsWaitedOut) {
  config->queue_patience = 20s;
  begin();
  qmgr.die();
  ASSERT_TRUE(turn_until(loop, [&] { return !submitter->connected(); }));
  send("MAIL FROM:<a@b.example>\r\n");
  for (int i = 0; i < 10; ++i)
    loop.turn(false);
  qmgr.live_again();
  EXPECT_EQ(reply(), "250 2.1.0 Ok");
  ask("RCPT TO:<u@ours.example>");
  ask("DATA");
  qmgr.die();
  ASSERT_TRUE(turn_until(loop, [&] { return !submitter->connected(); }));
  send("x: y\r\n\r\n.\r\n");
  for (int i = 0; i < 10; ++i)
    loop.turn(false);
  qmgr.live_again();
  EXPECT_EQ(reply().substr(0, 3), "250");
  wait_for_mail(1);
}

// The reply waits for the sync, whatever else goes on.
TEST_F(SmtpTrouble, NoReplyBeforeTheSync) {
  begin();
  fs.hold_syncs = true;
  ask("MAIL FROM:<a@b.example>");
  ask("RCPT TO:<u@ours.example>");
  ask("DATA");
  send("x: y\r\n\r\n.\r\n");
  ASSERT_TRUE(turn_until(loop, [&] { return fs.syncs == 1; }));
  for (int i = 0; i < 100; ++i)
    loop.turn(false);
  char byte;
  EXPECT_EQ(::recv(client.get(), &byte, 1, MSG_PEEK), -1);
  fs.hold_syncs = false;
  EXPECT_EQ(reply().substr(0, 3), "250");
}

} // namespace
} // namespace postrider::smtpd

// SPDX-License-Identifier: MIT
// shows: smtpd_client_port_logging
#include "behind.hpp"

#include "base/log.hpp"
#include "dialogue.hpp"

namespace postrider::smtpd {
namespace {

ClientChange start() {
  ClientChange change;
  change.peer.name = change.peer.reverse_name = "proxy.example";
  change.peer.address = "192.0.2.99";
  change.peer.port = "1";
  change.peer.login = {"PLAIN", "proxy"};
  return change;
}

struct RefusedCase {
  std::string name, arguments, text;
};
class RefusedXclient : public testing::TestWithParam<RefusedCase> {};
TEST_P(RefusedXclient, ChangesNothing) {
  ClientChange change = start();
  const auto refused = take_xclient("NAME=other.example " + GetParam().arguments, change);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, 501);
  EXPECT_EQ(refused->dsn, "5.5.4");
  EXPECT_EQ(refused->text, GetParam().text);
  EXPECT_EQ(change.peer.name, "proxy.example");
  EXPECT_EQ(change.peer.login.user, "proxy");
}
INSTANTIATE_TEST_SUITE_P(
    Behind, RefusedXclient,
    testing::ValuesIn<RefusedCase>({
        {"NoValue", "ADDR", "Error: attribute=value expected"},
        {"EmptyValue", "ADDR=", "Error: attribute=value expected"},
        {"TooLong", "HELO=" + std::string(256, 'x'), "Error: attribute value too long"},
        {"NoXtext", "HELO=a+0", "Bad attribute value syntax: a+0"},
        {"LineBreak", "HELO=a+0D+0AQUIT", "Bad attribute value syntax: a+0D+0AQUIT"},
        {"Nul", "NAME=a+00", "Bad attribute value syntax: a+00"},
        {"NoAttribute", "COLOR=red", "Bad XCLIENT attribute name: COLOR"},
        {"OfXforward", "IDENT=1", "Bad XCLIENT attribute name: IDENT"},
        {"NoHost", "NAME=a..b", "Bad NAME syntax: a..b"},
        {"NoReverseHost", "REVERSE_NAME=-a", "Bad REVERSE_NAME syntax: -a"},
        {"NoAddress", "ADDR=192.0.2", "Bad ADDR syntax: 192.0.2"},
        {"InBrackets", "ADDR=[192.0.2.1]", "Bad ADDR syntax: [192.0.2.1]"},
        {"NoSixAddress", "ADDR=IPV6:2001:db8::x", "Bad ADDR syntax: IPV6:2001:db8::x"},
        {"NoDestination", "DESTADDR=here", "Bad DESTADDR syntax: here"},
        {"NoPort", "PORT=x", "Bad PORT syntax: x"},
        {"LargePort", "PORT=65536", "Bad PORT syntax: 65536"},
        {"NoProtocol", "PROTO=HTTP", "Bad PROTO syntax: HTTP"},
    }),
    [](const auto& test) { return test.param.name; });

TEST(Xclient, ChangesTheClient) {
  ClientChange change = start();
  ASSERT_FALSE(take_xclient("name=mx.example ADDR=IPV6:2001:DB8::1 PORT=4711 PROTO=ESMTP "
                            "HELO=we<+20>are LOGIN=joe+40b DESTADDR=198.51.100.1 DESTPORT=25",
                            change));
  EXPECT_EQ(change.peer.shown(), "mx.example[2001:db8::1]");
  EXPECT_EQ(change.peer.reverse_name, "mx.example");
  EXPECT_EQ(change.peer.name_status, dns::NameStatus::ok);
  EXPECT_EQ(change.peer.port, "4711");
  EXPECT_EQ(change.peer.login.method, "XCLIENT");
  EXPECT_EQ(change.peer.login.user, "joe@b");
  EXPECT_EQ(change.peer.server_address, "198.51.100.1");
  EXPECT_EQ(change.peer.server_port, "25");
  EXPECT_EQ(change.helo, "we???are");
  EXPECT_TRUE(change.esmtp);
  change.peer.shows_port = true;
  EXPECT_EQ(change.peer.shown(), "mx.example[2001:db8::1]:4711");
}

TEST(Xclient, KnowsWhatIsNotKnown) {
  ClientChange change = start();
  ASSERT_FALSE(take_xclient("NAME=[TEMPUNAVAIL] REVERSE_NAME=claims.example ADDR=[unavailable] "
                            "PORT=[UNAVAILABLE] HELO=[UNAVAILABLE] LOGIN=[UNAVAILABLE]",
                            change));
  EXPECT_EQ(change.peer.shown(), "unknown[unknown]");
  EXPECT_EQ(change.peer.name_status, dns::NameStatus::temporary);
  EXPECT_EQ(change.peer.reverse_name, "claims.example");
  EXPECT_EQ(change.peer.reverse_name_status, dns::NameStatus::ok);
  EXPECT_EQ(change.peer.port, "unknown");
  EXPECT_EQ(change.helo, "");
  EXPECT_EQ(change.peer.login.method, "");
}

class RefusedXforward : public testing::TestWithParam<RefusedCase> {};
TEST_P(RefusedXforward, ChangesNothing) {
  mail::Forwarded forwarded;
  const auto refused = take_xforward("NAME=other.example " + GetParam().arguments, forwarded);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, 501);
  EXPECT_EQ(refused->text, GetParam().text);
  EXPECT_EQ(forwarded, mail::Forwarded());
}
INSTANTIATE_TEST_SUITE_P(Behind, RefusedXforward,
                         testing::ValuesIn<RefusedCase>({
                             {"NoAttribute", "LOGIN=joe", "Bad XFORWARD attribute name: LOGIN"},
                             {"NoHost", "NAME=a..b", "Bad NAME syntax: a..b"},
                             {"NoAddress", "ADDR=192.0.2.256", "Bad ADDR syntax: 192.0.2.256"},
                             {"NoPort", "PORT=-1", "Bad PORT syntax: -1"},
                             {"LongProtocol", "PROTO=" + std::string(65, 'x'),
                              "Bad PROTO syntax: " + std::string(65, 'x')},
                             {"NoSource", "SOURCE=FAR", "Bad SOURCE syntax: FAR"},
                         }),
                         [](const auto& test) { return test.param.name; });

TEST(Xforward, IsGatheredAttributeByAttribute) {
  mail::Forwarded forwarded;
  ASSERT_FALSE(take_xforward("IDENT=4QId SOURCE=local", forwarded));
  EXPECT_FALSE(forwarded.client);
  ASSERT_FALSE(take_xforward("NAME=mx.example ADDR=192.0.2.1 PORT=4711", forwarded));
  ASSERT_FALSE(take_xforward("PROTO=ESMTP HELO=a+28b+29", forwarded));
  EXPECT_TRUE(forwarded.client);
  EXPECT_EQ(forwarded.id, "4QId");
  EXPECT_EQ(forwarded.source, "LOCAL");
  EXPECT_EQ(forwarded.helo, "a?b?");
  EXPECT_EQ(shown(forwarded, false), "mx.example[192.0.2.1]");
  EXPECT_EQ(shown(forwarded, true), "mx.example[192.0.2.1]:4711");
  ASSERT_FALSE(take_xforward("ADDR=[UNAVAILABLE]", forwarded));
  EXPECT_EQ(shown(forwarded, true), "mx.example");
}

// --- in a session

class Counted : public Clients {
 public:
  ev::Task<std::string> change(ev::Lent<const Peer> before, ev::Lent<Peer> after) override {
    changes.push_back(before->shown() + " -> " + after->shown());
    co_return after->address == "192.0.2.66" ? "421 4.7.0 too many\r\n" : "";
  }
  ev::Task<std::uint64_t> count(ev::Lent<const Peer>, proto::ClientEvent) override { co_return 0; }
  ev::Task<std::uint64_t> tls_sessions(ev::Lent<const Peer>) override { co_return 0; }
  std::vector<std::string> changes;
};

class BehindTest : public DialogueTest {
 protected:
  BehindTest() {
    peer.address = "192.0.2.99";
    peer.may_xclient = peer.may_xforward = true;
    shared->clients = &clients;
  }
  Counted clients;
};

TEST_F(BehindTest, EhloSaysWhatTheClientMay) {
  begin();
  EXPECT_NE(ask("EHLO proxy.example")
                .find("250-XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT"
                      "|250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT|"),
            std::string::npos);
}

TEST_F(BehindTest, XclientBeginsTheSessionAnew) {
  begin();
  ask("EHLO proxy.example");
  EXPECT_EQ(ask("XCLIENT NAME=mx.example ADDR=192.0.2.7 HELO=said.example"),
            "220 mx.ours.example ESMTP Postrider");
  EXPECT_EQ(clients.changes,
            std::vector<std::string>{"unknown[192.0.2.99] -> mx.example[192.0.2.7]"});
  // The new client is judged by the lists: it is no proxy.
  EXPECT_EQ(ask("XCLIENT NAME=other.example"), "550 5.7.0 Error: insufficient authorization");
  EXPECT_EQ(ask("XFORWARD NAME=other.example"), "250 2.0.0 Ok");
  EXPECT_EQ(send_mail("a: b\r\n\r\nc\r\n.\r\n").substr(0, 3), "250");
  wait_for_mail(1);
  const mail::Envelope& envelope = qmgr.mails().at(0).envelope;
  EXPECT_EQ(envelope.client_name, "mx.example");
  EXPECT_EQ(envelope.client_address, "192.0.2.7");
  EXPECT_EQ(envelope.helo, "said.example");
  EXPECT_NE(qmgr.mails().at(0).content.find("from said.example (mx.example [192.0.2.7])"),
            std::string::npos);
}

TEST_F(BehindTest, XclientForgetsWhatTheProxySaid) {
  config->helo_required = true;
  begin();
  ask("EHLO proxy.example");
  ask("XFORWARD NAME=before.example");
  EXPECT_EQ(ask("XCLIENT ADDR=192.0.2.99").substr(0, 3), "220");
  EXPECT_EQ(ask(kMail).substr(0, 3), "503"); // nobody has said HELO
  EXPECT_EQ(ask("HELO a.example").substr(0, 3), "250");
  EXPECT_EQ(send_mail("a: b\r\n\r\nc\r\n.\r\n").substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(qmgr.mails().at(0).envelope.forwarded, mail::Forwarded());
}

TEST_F(BehindTest, LimitsHoldForTheNewClient) {
  begin();
  EXPECT_EQ(ask("XCLIENT ADDR=192.0.2.66"), "421 4.7.0 too many");
  EXPECT_EQ(reply(), "");
}

TEST_F(BehindTest, BothAreForBetweenTransactions) {
  begin();
  ask("EHLO proxy.example");
  EXPECT_EQ(ask("XCLIENT"), "501 5.5.4 Syntax: XCLIENT attribute=value...");
  EXPECT_EQ(ask("XFORWARD"), "501 5.5.4 Syntax: XFORWARD attribute=value...");
  ask(kMail);
  EXPECT_EQ(ask("XCLIENT NAME=a.example"), "503 5.5.1 Error: MAIL transaction in progress");
  EXPECT_EQ(ask("XFORWARD NAME=a.example"), "503 5.5.1 Error: MAIL transaction in progress");
}

TEST_F(BehindTest, XforwardIsStoredForOneTransaction) {
  begin();
  ask("EHLO proxy.example");
  EXPECT_EQ(ask("XFORWARD NAME=mx.example ADDR=192.0.2.1 IDENT=4QId"), "250 2.0.0 Ok");
  EXPECT_EQ(send_mail("a: b\r\n\r\nc\r\n.\r\n").substr(0, 3), "250");
  EXPECT_EQ(send_mail("a: b\r\n\r\nc\r\n.\r\n").substr(0, 3), "250");
  wait_for_mail(2);
  const mail::Envelope& first = qmgr.mails().at(0).envelope;
  EXPECT_EQ(first.forwarded.name, "mx.example");
  EXPECT_EQ(first.forwarded.id, "4QId");
  EXPECT_EQ(first.client_address, "192.0.2.99");
  EXPECT_EQ(qmgr.mails().at(1).envelope.forwarded, mail::Forwarded());
}

TEST_F(BehindTest, StrangersAreRefused) {
  peer.may_xclient = peer.may_xforward = false;
  begin();
  EXPECT_EQ(ask("EHLO a.example").find("XCLIENT"), std::string::npos);
  EXPECT_EQ(ask("XCLIENT NAME=a.example"), "550 5.7.0 Error: insufficient authorization");
  EXPECT_EQ(ask("XFORWARD NAME=a.example"), "550 5.7.0 Error: insufficient authorization");
}

TEST_F(BehindTest, NothingIsSentBehindXclient) {
  begin();
  send("XCLIENT NAME=a.example\r\nMAIL FROM:<x@y.example>\r\n");
  EXPECT_EQ(reply(), "503 5.5.0 Error: improper use of SMTP command pipelining");
}

} // namespace
} // namespace postrider::smtpd

# SPDX-License-Identifier: MIT
"""Policy services: what they are told, what their answers do, and what becomes of mail when they are
dead, silent or talk nonsense. A slow one holds up nobody else.

# shows: smtpd_policy_service_timeout smtpd_policy_service_default_action
# shows: smtpd_policy_service_policy_context smtpd_policy_service_try_limit
# shows: smtpd_policy_service_retry_delay smtpd_policy_service_request_limit
# shows: smtpd_policy_service_max_idle smtpd_policy_service_max_ttl
"""
import ports
from policy_server import PolicyServer
from suite import RawClient, Suite, expect, expect_equal, expect_match

ANSWERS = {"ok": b"action=DUNNO\n\n", "no": b"action=REJECT 5.7.9 not today\n\n",
           "garbage": b"hello\n\n", "empty": b"\n", "long": b"x=" + b"a" * 100000 + b"\n\n", "silent": None}


def answer(attributes):
    return ANSWERS[attributes["recipient"].split("@")[0]]


def ask(port, user):
    with RawClient(port) as client:
        client.command("EHLO helo.example")
        client.command("MAIL FROM:<a@b.example> SIZE=1234")
        return client.command(f"RCPT TO:<{user}@relay.example>")


with PolicyServer(answer) as server, \
        Suite(mynetworks="192.0.2.0/24", relay_domains="relay.example", smtpd_error_sleep_time="0s",
              smtpd_relay_restrictions="reject_unauth_destination",
              smtpd_recipient_restrictions="check_recipient_access inline:{{dead@relay.example = gone}}, "
              f"check_policy_service {server.place}",
              smtpd_restriction_classes="gone",
              gone=f"check_policy_service {{inet:127.0.0.1:{ports.free_port()}, try_limit=1, "
              "{ default_action = 450 4.7.7 later }}",
              smtpd_policy_service_timeout="2s", smtpd_policy_service_try_limit="2",
              smtpd_policy_service_retry_delay="1s", smtpd_policy_service_max_idle="100s",
              smtpd_policy_service_max_ttl="100s", smtpd_policy_service_request_limit="3",
              smtpd_policy_service_default_action="451 4.3.6 ask again",
              smtpd_policy_service_policy_context="test") as suite:
    for _ in range(4):
        expect_equal(ask(suite.port, "ok"), "250 2.1.5 Ok")
    expect(len(server.questions) == 4 and server.connections >= 2, "a connection is used three times at most")
    told = server.questions[0]
    for name, value in {"request": "smtpd_access_policy", "protocol_state": "RCPT", "protocol_name": "ESMTP",
                        "client_address": "127.0.0.1", "helo_name": "helo.example", "sender": "a@b.example",
                        "recipient": "ok@relay.example", "recipient_count": "0", "size": "1234",
                        "server_address": "127.0.0.1", "server_port": str(suite.port),
                        "policy_context": "test", "sasl_username": "", "queue_id": ""}.items():
        expect_equal(told[name], value, name)
    expect(len({q["instance"] for q in server.questions}) == 4, "one instance for each message")
    expect_equal(ask(suite.port, "no"), "554 5.7.9 <no@relay.example>: Recipient address rejected: not today")
    trouble = "451 4.3.6 <{}@relay.example>: Recipient address rejected: ask again"
    for user in ("garbage", "empty", "long", "silent"):
        before = len(server.questions)
        expect_equal(ask(suite.port, user), trouble.format(user), user)
        expect_equal(len(server.questions) - before, 2, f"tries of {user}")
    expect_equal(ask(suite.port, "dead"), "450 4.7.7 <dead@relay.example>: Recipient address rejected: later")
    suite.wait_log(r"warning: problem talking to server inet:127\.0\.0\.1:\d+: ")
    with RawClient(suite.port) as waiting:
        waiting.command("EHLO helo.example")
        waiting.command("MAIL FROM:<a@b.example>")
        waiting.write("RCPT TO:<silent@relay.example>\r\n")
        expect_equal(ask(suite.port, "ok"), "250 2.1.5 Ok", "meanwhile")
        expect_match(r"^451 4\.3\.6", waiting.reply(), "the one that waited")

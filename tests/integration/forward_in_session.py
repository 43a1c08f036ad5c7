# SPDX-License-Identifier: MIT
"""Mail is passed on to the next server while the client waits: what that one says is what the client
hears, no copy stays here, and whose mail goes where, or into the queue, is as configured.

# shows: smtpd_forward smtpd_forward_check smtpd_forward_maps smtpd_forward_selector smtpd_forward_split
# shows: smtpd_forward_check_sender smtpd_forward_check_recipient smtpd_forward_one_recipient
# shows: smtpd_forward_connection_limit smtpd_forward_idle_time smtpd_forward_dead_time
"""
import contextlib
import smtplib
import socket

import ports
import sinks
from suite import Suite, expect, expect_equal, expect_match

US = {"mydestination": "", "relay_domains": "example.net, example.org", "mynetworks": "192.0.2.0/24"}
XFORWARD = sinks.EXTENSIONS + ("XFORWARD NAME ADDR PROTO HELO IDENT SOURCE",)
TEXT = "Subject: to be passed on\r\n\r\n.dots\r\n..\r\n" + "x" * 900 + "\r\nend\r\n"


def say(suite, recipients, sender="from@example.com", text=TEXT):
    """The replies to MAIL, to each RCPT, and to the message, up to the first that stops."""
    with suite.smtp() as client:
        client.ehlo()
        replies = [client.mail(sender)]
        if replies[-1][0] == 250:
            replies += [client.rcpt(one) for one in recipients]
        if any(code == 250 for code, _ in replies[1:]):
            try:
                replies.append(client.data(text))
            except smtplib.SMTPDataError as error:
                replies.append((error.smtp_code, error.smtp_error))
        return [f"{code} {line.decode()}" for code, line in replies]


def codes(replies):
    return [int(reply[:3]) for reply in replies]


def put_again(suite, **settings):
    suite.configure(**settings)
    suite.reload()
    ports.wait_until(suite.greets, 30, "the greeting")


with contextlib.ExitStack() as stack:
    one, two = (stack.enter_context(sinks.Sink({"RCPT TO:<BAD@": "550 5.1.1 no such user",
                                                "RCPT TO:<LATER@": "450 4.2.0 later"},
                                               extensions=XFORWARD)) for _ in range(2))
    spam = stack.enter_context(sinks.Sink({"dot": "554 5.7.1 spam"}))
    queue = stack.enter_context(sinks.Sink())
    nobody = ports.free_port()
    suite = stack.enter_context(Suite(smtpd_forward=f"tcp://127.0.0.1:{one.port}", relayhost=queue.place,
                                      smtp_send_xforward_command="yes", **US))

    # Transparent: what the server says of each recipient, and of the message.
    replies = say(suite, ["to@example.net", "bad@example.net", "later@example.net"])
    expect_equal(codes(replies), [250, 250, 550, 450, 250], "replies")
    expect_match("5.1.1 no such user", replies[2], "its words")
    message = one.wait(1)[0]
    expect_equal(message.recipients, ["to@example.net"], "recipients")
    expect(message.data.endswith(TEXT.split("\r\n\r\n", 1)[1].encode()), "content")
    expect_match(r"^Received: from client\.example \(localhost \[127\.0\.0\.1\]\)\r\n\s+by "
                 r"mail\.postrider\.example \(Postrider\) with ESMTP id \S{12}", message.header, "our header")
    expect_match(r"XFORWARD NAME=localhost ADDR=127\.0\.0\.1", "\n".join(one.sessions[0].lines), "XFORWARD")
    suite.wait_log(rf"(\S{{12}}): to=<to@example\.net>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{one.port}, "
                   r"delay=.*, dsn=2\.0\.0, status=sent \(250 2\.0\.0 taken\)")
    suite.wait_log(r"NOQUEUE: reject: RCPT from localhost\[127\.0\.0\.1\]: 550 5\.1\.1 no such user; "
                   r"from=<from@example\.com> to=<bad@example\.net> proto=ESMTP helo=<client\.example>")
    expect_equal(codes(say(suite, ["to@elsewhere.example"])), [250, 454], "a relay for strangers")

    # After the content: one answer, about all.
    put_again(suite, smtpd_forward_check="data")
    expect_equal(codes(say(suite, ["bad@example.net"])), [250, 250, 550], "a wrong recipient")
    expect_equal(codes(say(suite, ["to@example.net", "bad@example.net"])), [250, 250, 250, 550], "all or none")
    expect_equal(codes(say(suite, ["to@example.net", "also@example.net"])), [250, 250, 250, 250], "two")
    expect_equal(len(one.wait(2)), 2, "messages")
    put_again(suite, smtpd_forward_one_recipient="yes")
    expect_equal(codes(say(suite, ["to@example.net", "also@example.net"])), [250, 250, 452, 250], "one by one")
    put_again(suite, smtpd_forward_split="queue")
    expect_equal(codes(say(suite, ["to@example.net", "also@example.net"])), [250, 250, 250, 250], "each alone")
    expect_equal([len(m.recipients) for m in one.wait(5)], [1, 2, 1, 1, 1], "recipients of each")
    put_again(suite, smtpd_forward_one_recipient="no", smtpd_forward=f"smtp:[127.0.0.1]:{spam.port}")
    expect_match("^554 5.7.1 spam", say(suite, ["to@example.net"])[-1], "its last word")

    # In order; who is dead is not asked again for a while.
    put_again(suite, smtpd_forward_check="rcpt", smtpd_forward_dead_time="1000s",
              smtpd_forward=f"tcp://127.0.0.1:{nobody}, tcp://127.0.0.1:{two.port}")
    for _ in range(3):
        expect_equal(codes(say(suite, ["to@example.net"])), [250, 250, 250], "the second server")
    refused = [line for line in suite.lines() if f"]:{nobody}: Connection refused" in line]
    expect(1 <= len(refused) <= 2, "tries of a dead server")  # of one process each
    two.wait(3)
    expect(len(two.sessions) <= 2, "connections are used again")
    put_again(suite, smtpd_forward_idle_time="0", smtpd_forward=f"tcp://127.0.0.1:{two.port}")
    before = len(two.sessions)
    for _ in range(3):
        say(suite, ["to@example.net"])
    expect_equal(len(two.sessions) - before, 3, "connections that are not kept")
    put_again(suite, smtpd_forward=f"tcp://127.0.0.1:{nobody}")
    expect_match(r"^451 4\.4\.1 Error", say(suite, ["to@example.net"])[0], "nobody there")

    # Routes.
    put_again(suite, smtpd_forward="", smtpd_forward_split="defer", smtpd_forward_maps=
              f"inline:{{ example.net=tcp://127.0.0.1:{one.port}, "
              f"listed.example=lmtp:inet:127.0.0.1:{nobody}, "
              f"special@example.net=tcp://127.0.0.1:{two.port}, example.org=queue }}")
    had = len(one.messages), len(two.messages)
    expect_equal(codes(say(suite, ["to@example.net", "special@example.net", "to@example.org"])),
                 [250, 250, 451, 451, 250], "routes that differ")
    expect_equal(codes(say(suite, ["special@example.net"])), [250, 250, 250], "its own route")
    expect_equal((len(one.messages), len(two.messages)), (had[0] + 1, had[1] + 1), "messages")
    expect_match("queued as", say(suite, ["to@example.org"])[-1], "the queue")
    expect_equal(queue.wait(1)[0].recipients, ["to@example.org"], "by the queue")
    put_again(suite, smtpd_forward_split="queue")
    expect_match("passed on for 1, queued as .* for 2",
                 say(suite, ["to@example.net", "special@example.net", "to@example.org"])[-1], "split")
    one.wait(had[0] + 2)
    by_queue = queue.wait(2)
    expect_equal(sorted(r for m in by_queue for r in m.recipients),
                 ["special@example.net", "to@example.org", "to@example.org"], "the rest")
    put_again(suite, smtpd_forward_check_sender="yes", smtpd_forward_check_recipient="yes")
    expect_equal(codes(say(suite, ["to@example.net"], sender="me@example.net")), [553], "no stranger")
    expect_equal(codes(say(suite, ["to@listed.example"])), [250, 451], "its domain is ours, its server away")
    put_again(suite, smtpd_forward_check_sender="no", smtpd_forward_selector="mail_from")
    expect_equal(codes(say(suite, ["to@example.org"], sender="me@example.net")), [250, 250, 250], "by sender")
    expect_equal(one.messages[-1].sender, "me@example.net", "the sender's server")

    # What makes no sense is said before it does harm.
    suite.configure(smtpd_forward="nonsense.example:25")
    done = suite.cli("check", check=False)
    expect(done.returncode != 0, "a check that fails")
    expect_match(r"smtpd_forward: nonsense\.example:25: neither smtp:, lmtp:, tcp://",
                 done.stdout + done.stderr, "why")

    # No more connections than allowed: the next one waits for its turn.
    put_again(suite, smtpd_forward_maps="", smtpd_forward_connection_limit="1", smtp_connect_timeout="300s",
              smtpd_forward=f"tcp://127.0.0.1:{two.port}", default_process_limit="1")
    with suite.smtp() as first, suite.smtp() as second:
        first.ehlo(), second.ehlo()
        open_before = two.open
        expect_equal(first.mail("a@example.com")[0], 250, "the first")
        second.putcmd("mail", "FROM:<b@example.com>")
        second.sock.settimeout(1)
        try:
            expect(not second.sock.recv(1), "a second connection at once")
        except socket.timeout:
            pass
        second.sock.settimeout(30)
        expect(two.open <= max(open_before, 1), "connections")
        expect_equal(first.rset()[0], 250, "the first gives up")
        expect_equal(second.getreply()[0], 250, "its turn")

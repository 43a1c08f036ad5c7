# SPDX-License-Identifier: MIT
"""Tables whose answers are empty, have a code and no text, are of a hundred thousand bytes, hold line
breaks and control bytes: every reply is one well-formed reply, the session stays in step, and nothing
but the address that was asked for gets into an envelope or a header."""
import re

import ports
import sinks
from socketmap_server import Server
from suite import RawClient, Suite, expect, expect_equal, expect_match

LONG = "x" * 90_000
ANSWERS = ["", " ", "5.7.2", "5.7.2 ", "550", "550 ", "550 5.7.2", "550 5.7.2 ", "550 x.7.2 x", "5505.7.2", "99", "999 x",
           "REJECT", "REJECT ", "REJECT 5.7.2", "REJECT 2.0.0 fine", "REJECT a\r\n250 2.1.5 Ok", "550 5.7.1 a\n250 b",
           "REJECT \x1b[2J\x07", "REJECT a\0b", "REJECT \u00e4", "REJECT " + LONG, "550 5.7.1 " + LONG, LONG, "421", "421 4.7.0",
           "354 go on", "250 Ok", "220 hello", "DEFER", "DEFER 5.7.2", "DEFER_IF_PERMIT", "WARN", "WARN a\r\nb", "HOLD a\nb",
           "PREPEND X-Odd: a\r\nX-Evil: b", "PREPEND X-Odd: a\n\nbody", "PREPEND", "PREPEND nothing", "REDIRECT", "REDIRECT a\r\nb@c.example",
           "REDIRECT " + "a" * 5000 + "@x.example", "BCC", "BCC <>", "FILTER", "FILTER smtp:[127.0.0.1\r\n]", "DUNNO\r\n", "OK\0"]
ALIASES = ["", " ", ",", "@", "<>", "a\r\nb", "a\0b", "<a", "a b c d", LONG, "a@" + "b" * 5000, ", ".join(["many@example.net"] * 5000),
           "|/bin/sh", "/etc/passwd", ":include:/etc/passwd", "\x1b[2J@example.net"]
REPLY = re.compile(r"[2-5][0-9][0-9] [^\x00-\x1f\x7f]*")

with sinks.Sink() as sink, Suite(start=False, relayhost=sink.place, smtpd_error_sleep_time="0",
                                 smtpd_hard_error_limit="1000", smtpd_peername_lookup="no") as suite:
    server = Server(suite.top / "socket")
    suite.configure(smtpd_recipient_restrictions=f"check_recipient_access socketmap:unix:{suite.top}/socket:access",
                    virtual_alias_maps=f"socketmap:unix:{suite.top}/socket:alias")
    server.answers.update({("access", f"a{i}@access.example"): "OK " + text for i, text in enumerate(ANSWERS)})
    server.answers.update({("alias", f"a{i}@alias.example"): "OK " + text for i, text in enumerate(ALIASES)})
    server.answers["access", "much@access.example"] = b"2000000:OK " + b"x" * 2_000_000
    suite.start()
    names = [f"a{i}@access.example" for i in range(len(ANSWERS))] + ["much@access.example"] + \
        [f"a{i}@alias.example" for i in range(len(ALIASES))]
    taken = 0
    for name in names:
        with RawClient(suite.port) as client:
            for line in ("EHLO client.example", "MAIL FROM:<from@example.org>"):
                expect_match("^250", client.command(line), line)
            replies = [client.command(f"RCPT TO:<{name}>")]
            if replies[0].startswith("250"):
                replies.append(client.command("DATA"))
                if replies[-1].startswith("354"):
                    replies.append(client.command(f"Subject: {name}\r\n\r\nbody\r\n."))
                    taken += replies[-1].startswith("250")
            for reply in replies:
                for line in reply.split("\n"):
                    expect(REPLY.fullmatch(line.replace("-", " ", 1)) or REPLY.fullmatch(line), f"{name}: {reply[:200]!r}")
                    expect(len(line) < 2048, f"{name}: a line of {len(line)} bytes")
                expect(reply[:3] not in ("220", "221", "999"), f"{name}: {reply[:100]}")
            if not replies[-1].startswith("421"):
                expect_equal(client.command("NOOP"), "250 2.0.0 Ok", f"{name}: in step")
    suite.send("from@example.org", ["last@example.net"])
    ports.wait_until(lambda: any("last@example.net" in m.recipients for m in list(sink.messages)), 60, "the last one")
    for waiting in suite.queue():  # held, or to an address that nobody serves
        for address in [waiting["sender"], *(r["address"] for r in waiting["recipients"])]:
            expect(not re.search(r"[\x00-\x20\x7f]", address), f"an address {address!r} in the queue")
    for message in sink.messages:
        for address in [message.sender, *message.recipients]:
            expect(not re.search(r"[\x00-\x20\x7f]", address), f"an address {address!r}")
        expect("X-Evil" not in message.header, message.header)
        expect(message.body in (b"body\r\n", b"hello\r\n"), f"a body {message.body!r}")
    print(f"{len(names)} answers, {taken} messages taken")

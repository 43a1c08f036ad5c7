# SPDX-License-Identifier: MIT
"""Nothing but CR LF . CR LF ends a message, whatever smtpd_forbid_bare_newline says, and no bare CR or
LF is passed on."""
# shows: smtpd_forbid_bare_newline smtpd_forbid_bare_newline_exclusions
import re

import sinks
from suite import Suite, expect, expect_equal, expect_match

VARIANTS = [b"\n.\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r",
            b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\n.\r\0\n", b"\n\n.\r\n"]
SMUGGLED = (b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\n"
            b"Subject: smuggled\r\n\r\nsmuggled")


def attempt(suite, variant, chunks):
    """Replies after the text, the last of them that to QUIT."""
    with suite.raw() as client:
        client.command("EHLO client.example")
        client.command("MAIL FROM:<good@example.org>")
        client.command("RCPT TO:<to@example.net>")
        expect_match("^354", client.command("DATA"), "DATA")
        text = b"Subject: carrier\r\n\r\nfirst" + variant + SMUGGLED + b"\r\n.\r\nQUIT\r\n"
        for at in range(0, len(text), chunks):
            client.write(text[at:at + chunks])
        replies = []
        while True:
            reply = client.reply()
            if not reply:
                return replies
            replies.append(reply)


for policy in ("normalize", "reject", "no"):
    with sinks.Sink() as sink, \
            Suite(relayhost=sink.place, smtpd_forbid_bare_newline=policy, smtpd_error_sleep_time="0s",
                  smtpd_forbid_bare_newline_exclusions="") as suite:
        taken = 0
        for variant in VARIANTS:
            for chunks in (4096, 1):
                what = f"{policy} {variant!r} in pieces of {chunks}"
                replies = attempt(suite, variant, chunks)
                # With reject the session may end at once; otherwise one answer, then that to QUIT.
                expect(len(replies) <= 2, f"{what}: {replies}")
                expect_match(r"^(250|[45]\d\d|521)", replies[0], what)
                if replies[0].startswith("250"):
                    expect_match("^221", replies[1], what)
                    taken += 1
        expect(taken > 0 or policy == "reject", "some variants are harmless, and are taken")
        messages = sink.wait(taken)
        suite.wait_empty()
        expect_equal(len(sink.messages), taken, f"{policy}: messages at the next hop")
        for message in messages:
            expect_equal((message.sender, message.recipients), ("good@example.org", ["to@example.net"]),
                         "envelope")
            expect(b"smuggled" in message.body, "the text went along as text")
            bare = re.search(rb"(?<!\r)\n|\r(?!\n)", message.data)
            expect(bare is None, f"{policy}: a bare CR or LF was passed on: {message.data!r}")

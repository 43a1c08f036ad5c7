# SPDX-License-Identifier: MIT
"""sendmail hands in mail over the local socket, completes its header, and exits 75 when the suite is
down."""
import getpass

import sinks
from suite import Suite, expect, expect_equal, expect_match

with sinks.Sink() as sink, Suite(relayhost=sink.place, myorigin="origin.example") as suite:
    suite.sendmail("-t", "-i", text="To: One <one@example.net>, two@example.net\nCc: three@example.net\n"
                   "Bcc: hidden@example.net\nSubject: local\n\nhello\n.\nafter the dot\n")
    message = sink.wait(1)[0]
    expect_equal(sorted(message.recipients), ["hidden@example.net", "one@example.net",
                                              "three@example.net", "two@example.net"], "recipients")
    expect_equal(message.body, b"hello\r\n.\r\nafter the dot\r\n", "with -i a dot ends nothing")
    user = getpass.getuser()
    expect_equal(message.sender, f"{user}@origin.example", "sender")
    for pattern in (r"(?m)^Date: \w{3}, ", r"(?m)^Message-ID: <.+@.+>", rf"(?m)^From: .*{user}@origin\.example",
                    r"(?m)^Received: "):
        expect_match(f"(?i){pattern}", message.header, "header")
    expect("hidden" not in message.header, "Bcc: is gone")

    # Without -i a dot ends the text; -f sets the sender; recipients as arguments; -F the full name.
    suite.sendmail("-f", "other@example.org", "-F", "Some One", "to@example.net",
                   text="Subject: args\n\nshort\n.\nnot sent\n")
    message = sink.wait(2)[1]
    expect_equal((message.sender, message.recipients), ("other@example.org", ["to@example.net"]), "envelope")
    expect_equal(message.body, b"short\r\n", "body")
    expect_match(r'(?m)^From: "?Some One"? <other@example\.org>', message.header, "From:")

    # A header that is complete stays as it is.
    whole = ("From: me@example.org\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-ID: <mine@example.org>\n"
             "Subject: whole\n\ntext\n")
    suite.sendmail("-oi", "-f", "", "to@example.net", text=whole)
    message = sink.wait(3)[2]
    expect_equal(message.sender, "", "null sender")
    expect(message.header.endswith("\r\n".join(whole.split("\n\n")[0].split("\n"))), message.header)

    # -bs: SMTP on standard input, also when all of it is there before the first reply.
    replies = suite.sendmail("-bs", text="EHLO me\r\nMAIL FROM:<me@example.org>\r\nRCPT TO:<to@example.net>\r\n"
                             "DATA\r\nSubject: bs\r\n\r\ntext\r\n.\r\nQUIT\r\n").stdout
    expect_match(r"(?m)^250 2\.0\.0 .*queued as", replies, "the dialogue")
    expect_equal(sink.wait(4)[3].sender, "me@example.org", "sender of -bs")

    expect(suite.sendmail(text="x\n", check=False).returncode != 0, "no recipients is an error")
    suite.wait_empty()
    suite.stop()
    expect_equal(suite.sendmail("to@example.net", text="x\n", check=False).returncode, 75, "EX_TEMPFAIL")

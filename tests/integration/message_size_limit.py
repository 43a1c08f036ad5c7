# SPDX-License-Identifier: MIT
"""message_size_limit is announced, held against SIZE= and against what really comes."""
# shows: message_size_limit
import sinks
from suite import Suite, expect_equal, expect_match

with sinks.Sink() as sink, Suite(relayhost=sink.place, message_size_limit="20000") as suite:
    with suite.raw() as client:
        expect_match(r"(?m)^250[- ]SIZE 20000$", client.command("EHLO client.example"), "EHLO")
        expect_match(r"^552 5\.3\.4", client.command("MAIL FROM:<a@example.org> SIZE=20001"), "SIZE=")
        for size in ("-1", "x", "99999999999999999999999999"):
            expect_match(r"^5", client.command(f"MAIL FROM:<a@example.org> SIZE={size}"), size)
        line = "x" * 76 + "\r\n"
        for lines, wanted in ((400, r"^552 5\.3\.4"), (200, "^250")):
            expect_match("^250", client.command("MAIL FROM:<a@example.org> SIZE=100"), "MAIL")
            expect_match("^250", client.command("RCPT TO:<b@example.net>"), "RCPT")
            expect_match("^354", client.command("DATA"), "DATA")
            expect_match(wanted, client.command("Subject: s\r\n\r\n" + line * lines + "."), f"{lines} lines")
    expect_equal(sink.wait(1)[0].body, (line * 200).encode(), "body")
    suite.wait_empty()
    expect_equal(len(sink.messages), 1, "messages")

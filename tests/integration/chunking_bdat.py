# SPDX-License-Identifier: MIT
"""BDAT carries any octets, dots and line ends included, in chunks of any size (RFC 3030)."""
import sinks
from suite import Suite, expect_equal, expect_match

BODY = b".\r\n..\r\nlast line\r\n.\r\n"
TEXT = b"Subject: chunks\r\n\r\n" + BODY


def chunk(client, data, last=False):
    client.write(f"BDAT {len(data)}{' LAST' if last else ''}\r\n".encode() + data)
    return client.reply()


with sinks.Sink() as sink, Suite(relayhost=sink.place, smtpd_error_sleep_time="0s") as suite:
    with suite.raw() as client:
        expect_match(r"(?m)^250[- ]CHUNKING$", client.command("EHLO client.example"), "EHLO")

        def envelope(name):
            expect_match("^250", client.command("MAIL FROM:<a@example.org>"), "MAIL")
            expect_match("^250", client.command(f"RCPT TO:<{name}@example.net>"), "RCPT")

        envelope("whole")
        expect_match("^250", chunk(client, TEXT, last=True), "one chunk")
        envelope("bytes")
        for byte in TEXT:
            expect_match("^250", chunk(client, bytes([byte])), "a chunk of one byte")
        expect_match("^250", chunk(client, b"", last=True), "BDAT 0 LAST")
        envelope("mixed")
        expect_match("^250", chunk(client, TEXT[:5]), "first")
        expect_match("^503", client.command("DATA"), "DATA after BDAT")
        expect_match("^250", client.command("RSET"), "RSET")
        expect_match("^503", chunk(client, b"abc", last=True), "BDAT without MAIL: the chunk is eaten")
        for size in ("-1", "x", "99999999999999999999999", "+3", ""):
            envelope("wrong")
            expect_match("^50[13]", client.command(f"BDAT {size}"), f"BDAT {size}")
            expect_match("^250", client.command("RSET"), "RSET")
        envelope("after")
        expect_match("^250", chunk(client, TEXT, last=True), "the session still works")
    messages = sink.wait(3)
    expect_equal(sorted(m.recipients for m in messages),
                 [["after@example.net"], ["bytes@example.net"], ["whole@example.net"]], "recipients")
    expect_equal({m.body for m in messages}, {BODY}, "bodies")
    suite.wait_empty()

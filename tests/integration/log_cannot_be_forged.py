# SPDX-License-Identifier: MIT
"""Control characters from a client or a server do not get into the log as they are."""
import sinks
from suite import Suite, expect, expect_match

with sinks.Sink({"RCPT": "450 4.2.0 \x1b[31mred\x07 \u0085 %s%n"}) as sink, \
        Suite(relayhost=sink.place, smtpd_error_sleep_time="0s") as suite:
    with suite.raw() as client:
        client.write(b"EHLO a\x1b[2Jb\x7f\r\n")
        client.reply()
        client.write(b"MAIL FROM:<x\x01y@example.org>\r\n")
        client.reply()
        client.write(b"VRFY \xff\xfe%s\r\n")
        client.reply()
    sent = suite.send("from@example.org", ["to@example.net"])
    suite.wait_log(rf"{sent}: to=<to@example\.net>.*status=deferred")
    data = suite.log.read_bytes()
    bad = sorted({b for b in data if (b < 32 and b != 10) or b == 127})
    expect(not bad, f"bytes {bad} in the log")
    expect_match("red", data.decode(), "the rest of the reply is there")

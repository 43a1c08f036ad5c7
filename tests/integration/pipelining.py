# SPDX-License-Identifier: MIT
"""A client may send everything at once after EHLO; replies come in order, one for each command."""
import sinks
from suite import Suite, expect_equal, expect_match

with sinks.Sink() as sink, Suite(relayhost=sink.place, smtpd_error_sleep_time="0s") as suite:
    with suite.raw() as client:
        expect_match(r"(?m)^250[- ]PIPELINING$", client.command("EHLO client.example"), "EHLO")
        one = "MAIL FROM:<a@example.org>\r\nRCPT TO:<b{0}@example.net>\r\nDATA\r\n"
        client.write(one.format(1))
        expect_equal([client.reply()[:3] for _ in range(3)], ["250", "250", "354"], "first envelope")
        # The text, its end, and the whole next transaction in one write, with errors in it.
        client.write("Subject: 1\r\n\r\none\r\n.\r\n" + "RCPT TO:<early@example.net>\r\n" +
                     "MAIL FROM:<a@example.org>\r\nNONSENSE\r\nRCPT TO:<b2@example.net>\r\nNOOP\r\nDATA\r\n")
        expect_equal([client.reply()[:3] for _ in range(7)],
                     ["250", "503", "250", "502", "250", "250", "354"], "second envelope")
        client.write("Subject: 2\r\n\r\ntwo\r\n.\r\nQUIT\r\n")
        expect_equal([client.reply()[:3] for _ in range(3)], ["250", "221", ""], "the end")
    messages = sink.wait(2)
    expect_equal(sorted(m.recipients[0] for m in messages), ["b1@example.net", "b2@example.net"], "mail")
    suite.wait_empty()

# SPDX-License-Identifier: MIT
"""smtputf8_enable: addresses beyond ASCII are announced and taken, or neither.

# shows: smtputf8_enable
"""
import sinks
from suite import Suite, expect_equal

WHO = "pelé@example.net"
for enable in ("yes", "no"):
    with sinks.Sink() as sink, Suite(relayhost=sink.place, smtputf8_enable=enable) as suite:
        with suite.raw() as client:
            offered = "SMTPUTF8" in client.command("EHLO client.example")
            expect_equal(offered, enable == "yes", "announced")
            mail = client.command("MAIL FROM:<from@example.org>" + (" SMTPUTF8" if offered else ""))
            expect_equal(mail[:3], "250", "MAIL")
            expect_equal(client.command(f"RCPT TO:<{WHO}>")[:1], "2" if offered else "5", "RCPT")
            if offered:
                client.command("DATA")
                expect_equal(client.command("Subject: x\r\n\r\nx\r\n.")[:3], "250", "the mail")
                expect_equal(sink.wait(1)[0].recipients, [WHO], "recipients")

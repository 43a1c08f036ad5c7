# SPDX-License-Identifier: MIT
"""Mail that has gone round too often is refused."""
# shows: hopcount_limit
import sinks
from suite import Suite, expect_match

with sinks.Sink() as sink, Suite(relayhost=sink.place, hopcount_limit="10") as suite:
    for hops, wanted in ((9, r"^250"), (12, r"^554 5\.4\.0")):
        with suite.raw() as client:
            client.command("EHLO client.example")
            client.command("MAIL FROM:<a@example.org>")
            client.command("RCPT TO:<b@example.net>")
            client.command("DATA")
            expect_match(wanted, client.command("Received: from a by b\r\n" * hops + "\r\nx\r\n."), hops)
    sink.wait(1)

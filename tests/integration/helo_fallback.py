# SPDX-License-Identifier: MIT
"""A server that refuses EHLO is spoken to with HELO, without any extension."""
import sinks
from suite import Suite, expect, expect_equal

with sinks.Sink({"EHLO": "502 5.5.1 what?"}) as sink, Suite(relayhost=sink.place) as suite:
    suite.send("from@example.org", ["to@example.net"])
    message = sink.wait(1)[0]
    expect_equal(message.mail_line.upper(), "MAIL FROM:<FROM@EXAMPLE.ORG>", "MAIL")
    expect(any(line.upper().startswith("HELO ") for line in sink.sessions[0].lines), "HELO")

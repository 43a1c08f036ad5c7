# SPDX-License-Identifier: MIT
"""Mail with the null sender that cannot be delivered makes no report to anyone but the postmaster that
2bounce_notice_recipient names, and only where notify_classes asks for it."""
import sinks
from suite import Suite, expect_equal

with sinks.Sink({"RCPT TO:<GONE@": "550 5.1.1 no"}) as sink, \
        Suite(relayhost=sink.place) as suite:
    sent = suite.send("", ["gone@example.net"])
    suite.wait_log(rf"{sent}: to=<gone@example\.net>.*status=bounced")
    suite.wait_log(rf"{sent}: removed")
    suite.wait_empty()
    expect_equal([m.recipients for m in sink.messages if m.sender == ""], [], "reports")

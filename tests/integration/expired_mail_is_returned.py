# SPDX-License-Identifier: MIT
"""Mail that could not be delivered within maximal_queue_lifetime is returned with the last reason."""
import email

import sinks
from suite import Suite, expect_equal, expect_match

with sinks.Sink({"RCPT TO:<NEVER@": "450 4.2.0 mailbox is being moved"}) as sink, \
        Suite(relayhost=sink.place, maximal_queue_lifetime="3s", minimal_backoff_time="1s",
              maximal_backoff_time="1s") as suite:
    sent = suite.send("from@example.org", ["never@example.net"])
    report = sink.wait(1, seconds=40)[0]
    status = email.message_from_bytes(report.data).get_payload()[1].get_payload()[1]
    expect_equal(status["Action"], "failed", "Action")
    expect_match("mailbox is being moved", status["Diagnostic-Code"], "the last reply")
    suite.wait_log(rf"{sent}: from=<from@example\.org>, status=expired, returned to sender")
    suite.wait_empty()

# SPDX-License-Identifier: MIT
"""Mail that waits longer than delay_warning_time tells its sender once, and is still delivered."""
import email

import sinks
from suite import Suite, expect_equal, expect_match

with sinks.Sink({"RCPT TO:<LATE@": "450 4.2.0 not yet"}) as sink, \
        Suite(relayhost=sink.place, delay_warning_time="2s", minimal_backoff_time="1s",
              maximal_backoff_time="1s") as suite:
    suite.send("from@example.org", ["late@example.net"])
    report = sink.wait(1, seconds=40)[0]
    expect_equal((report.sender, report.recipients), ("", ["from@example.org"]), "envelope of the warning")
    status = email.message_from_bytes(report.data).get_payload()[1].get_payload()[1]
    expect_equal(status["Action"], "delayed", "Action")
    expect_match(r"^4\.", status["Status"], "Status")
    sink.script.clear()
    messages = sink.wait(2, seconds=40)
    expect_equal(messages[1].recipients, ["late@example.net"], "delivered in the end")
    suite.wait_empty()
    expect_equal(len(sink.messages), 2, "one warning")

# SPDX-License-Identifier: MIT
"""confirm_delay_cleared: who was warned of a delay is told when the mail has gone.

# shows: confirm_delay_cleared delay_warning_time
"""
import email

import sinks
from suite import Suite, expect_equal, expect_match

with sinks.Sink({"RCPT TO:<LATE@": "450 4.2.0 not yet"}) as sink, \
        Suite(relayhost=sink.place, delay_warning_time="2s", minimal_backoff_time="1s",
              maximal_backoff_time="1s", confirm_delay_cleared="yes") as suite:
    suite.send("from@example.org", ["late@example.net", "prompt@example.net"])
    expect_equal(sink.wait(1)[0].recipients, ["prompt@example.net"], "delivered at once")
    warning = sink.wait(2, seconds=40)[1]
    expect_equal((warning.sender, warning.recipients), ("", ["from@example.org"]), "warning")
    sink.script.clear()
    late, cleared = sink.wait(4, seconds=40)[2:]
    expect_equal(late.recipients, ["late@example.net"], "delivered in the end")
    expect_equal((cleared.sender, cleared.recipients), ("", ["from@example.org"]), "told so")
    parts = email.message_from_bytes(cleared.data).get_payload()
    expect_match("delivered", parts[0].get_payload(), "text")
    _, status = parts[1].get_payload()
    expect_equal(status["Final-Recipient"], "rfc822; late@example.net", "of whom")
    expect_match(r"^2\.", status["Status"], "Status")
    suite.wait_empty()
    expect_equal(len(sink.messages), 4, "messages")

# SPDX-License-Identifier: MIT
"""Recipients with the same next hop share transactions of smtp_destination_recipient_limit each.

# shows: smtp_destination_recipient_limit
"""
import sinks
from suite import Suite, expect_equal

with sinks.Sink() as sink, Suite(relayhost=sink.place, smtp_destination_recipient_limit="20") as suite:
    recipients = [f"to{i}@d{i % 3}.example" for i in range(50)]
    suite.send("from@example.org", recipients)
    sink.wait(3)
    suite.wait_empty()
    expect_equal(sorted(len(m.recipients) for m in sink.messages), [10, 20, 20], "transactions")
    expect_equal(sorted(r for m in sink.messages for r in m.recipients), sorted(recipients), "recipients")

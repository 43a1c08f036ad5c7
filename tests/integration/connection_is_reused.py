# SPDX-License-Identifier: MIT
"""Mail for one next hop shares connections; the reply that a server gives to one message is never
counted for another."""
import sinks
from suite import Suite, expect, expect_equal


def reply(session, line):
    return "550 5.1.1 odd one" if "odd" in line else None


with sinks.Sink({"RCPT": reply}) as sink, \
        Suite(relayhost=sink.place, smtp_destination_concurrency_limit="2") as suite:
    for i in range(40):
        suite.send("" if i % 2 else "from@example.org", [f"{'odd' if i % 2 else 'even'}{i}@example.net"])
    suite.wait_log("status=sent", count=20)
    suite.wait_log("status=bounced", count=20)
    suite.wait_empty()
    expect_equal(sorted(m.recipients[0] for m in sink.messages),
                 sorted(f"even{i}@example.net" for i in range(0, 40, 2)), "delivered")
    expect(len(sink.sessions) < 20, f"{len(sink.sessions)} sessions for 40 deliveries")

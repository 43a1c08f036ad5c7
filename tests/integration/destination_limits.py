# SPDX-License-Identifier: MIT
"""No more deliveries go to one destination at a time than its transport's limit allows.

# shows: smtp_destination_concurrency_limit lmtp_destination_concurrency_limit
# shows: lmtp_destination_recipient_limit
"""
import asyncio
import threading

import ports
import sinks
from suite import Suite, expect_equal


class Gate(sinks.Sink):
    """Answers DATA only when all are let through; counts who waits."""

    def __init__(self, **options):
        self.gate, self.waiting, self.most = threading.Event(), 0, 0
        super().__init__({"DATA": "354 go on"}, **options)

    async def say(self, writer, reply):
        if isinstance(reply, str) and reply.startswith("354") and not self.gate.is_set():
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            await asyncio.get_running_loop().run_in_executor(None, self.gate.wait)
        await super().say(writer, reply)


with Gate() as smtp, Gate(lmtp=True) as lmtp, sinks.Sink() as other, \
        Suite(relayhost=smtp.place, initial_destination_concurrency="10",
              smtp_destination_concurrency_limit="2", lmtp_destination_concurrency_limit="3",
              lmtp_destination_recipient_limit="2",
              transport_maps=f"inline:{{ box.example=lmtp:inet:127.0.0.1:{lmtp.port}, "
                             f"other.example=smtp:{other.place} }}") as suite:
    for i in range(6):
        suite.send("from@example.org", [f"to{i}@example.net"])
    suite.send("from@example.org", [f"to{i}@box.example" for i in range(9)])
    suite.wait_log(r"\(queue active\)", count=7)
    ports.wait_until(lambda: (smtp.waiting, lmtp.waiting) == (2, 3), 20, "deliveries")
    # What could go out has gone: a message to somebody else has come through meanwhile.
    suite.send("from@example.org", ["to@other.example"])
    other.wait(1)
    expect_equal((smtp.most, lmtp.most), (2, 3), "deliveries at a time")
    smtp.gate.set()
    lmtp.gate.set()
    smtp.wait(6)
    suite.wait_empty()
    expect_equal(sorted(len(m.recipients) for m in lmtp.messages), [1, 2, 2, 2, 2], "recipients")

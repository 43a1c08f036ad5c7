# SPDX-License-Identifier: MIT
"""Mail that was acknowledged outlives kill -9 of the whole suite, fresh or deferred, and is delivered
once."""
import sinks
from suite import Suite, expect_equal

with sinks.Sink({"MAIL": "451 4.3.0 not now"}) as sink, \
        Suite(relayhost=sink.place, minimal_backoff_time="1s", maximal_backoff_time="1s") as suite:
    sent = {suite.send("from@example.org", [f"to{i}@example.net"], f"Subject: {i}\n\nbody {i}\n"): i
            for i in range(10)}
    suite.wait_log(r"status=deferred", count=10)
    for i in range(10, 20):
        sent[suite.send("from@example.org", [f"to{i}@example.net"], f"Subject: {i}\n\nbody {i}\n")] = i
    suite.kill_all()
    suite.start()
    expect_equal({m["queue_id"] for m in suite.queue()}, set(sent), "the queue after the kill")
    suite.kill_all()
    sink.script.clear()
    suite.start()
    messages = sink.wait(20, seconds=60)
    suite.wait_empty(60)
    expect_equal(sorted(m.body for m in sink.messages), sorted(f"body {i}\r\n".encode() for i in range(20)),
                 "bodies")
    expect_equal(len(messages), 20, "messages")

# SPDX-License-Identifier: MIT
"""Messages larger than the journal keeps (256 KiB) go through whole, next to small ones, also when the
suite is killed between acceptance and delivery."""
import sinks
from suite import Suite, expect_equal

BIG = "".join(f"{i:07d} {'y' * 60}\r\n" for i in range(60000))  # 4 MB
with sinks.Sink({"MAIL": "451 4.3.0 wait"}) as sink, \
        Suite(relayhost=sink.place, minimal_backoff_time="1s", maximal_backoff_time="1s") as suite:
    suite.send("a@example.org", ["big@example.net"], "Subject: big\r\n\r\n" + BIG)
    suite.send("a@example.org", ["small@example.net"])
    suite.kill_all()
    sink.script.clear()
    suite.start()
    messages = {m.recipients[0]: m for m in sink.wait(2, seconds=60)}
    expect_equal(messages["big@example.net"].body == BIG.encode(), True, "the large body")
    expect_equal(messages["small@example.net"].body, b"hello\r\n", "the small body")
    suite.wait_empty()

# SPDX-License-Identifier: MIT
"""postrider hold, release, requeue and delete act on ids, senders, recipients and destinations, and
--dry-run only counts."""
import sinks
from suite import Suite, expect, expect_equal

with sinks.Sink({"MAIL": "451 4.3.0 not now"}) as sink, \
        Suite(relayhost=sink.place, minimal_backoff_time="1s", maximal_backoff_time="1s") as suite:
    one = suite.send("one@example.org", ["a@first.example"])
    two = suite.send("two@example.org", ["b@second.example"])
    three = suite.send("three@example.org", ["c@third.example"])
    suite.wait_log("status=deferred", count=3)

    def ids():
        return {m["queue_id"] for m in suite.queue()}

    def held():
        return {m["queue_id"] for m in suite.queue() if m["queue_name"] == "hold"}

    expect_equal(ids(), {one, two, three}, "queue")
    suite.cli("hold", one)
    suite.cli("hold", "--sender", "two@example.org")
    expect_equal(held(), {one, two}, "held")
    suite.cli("delete", "--dry-run", "ALL")
    expect_equal(ids(), {one, two, three}, "after the dry run")
    suite.cli("delete", "--recipient", "c@third.example")
    expect_equal(ids(), {one, two}, "after delete")
    sink.script.clear()
    suite.cli("flush", "ALL")
    suite.cli("release", two)
    expect_equal([m.recipients for m in sink.wait(1)], [["b@second.example"]], "released")
    suite.stop()
    suite.start()
    expect_equal(held(), {one}, "hold outlives a restart")
    expect("Subject: test" in suite.cli("cat", one).stdout, "cat shows the text")
    suite.cli("delete", one)
    suite.wait_empty()
    expect_equal(len(sink.messages), 1, "delivered")
    expect(suite.cli("delete", one, check=False).returncode != 0, "an unknown id is an error")

# SPDX-License-Identifier: MIT
"""Which connections are kept for the next mail, for how long, and for how much of it.

# shows: smtp_connection_cache_on_demand smtp_connection_cache_destinations
# shows: smtp_connection_cache_time_limit smtp_connection_reuse_time_limit
# shows: smtp_connection_reuse_count_limit
"""
import ports
import sinks
from suite import Suite, expect, expect_equal


def deliver(suite, sink):
    """One message, all the way."""
    sent = suite.send("", ["to@example.net"])
    suite.wait_log(rf"{sent}: removed")
    return sink.messages[-1].session


ALWAYS = {"smtp_connection_cache_destinations": "127.0.0.1"}
with sinks.Sink() as sink:
    # Nothing is kept, however much waits.
    with Suite(relayhost=sink.place, smtp_connection_cache_on_demand="no",
               smtp_destination_concurrency_limit="2") as suite:
        for i in range(10):
            suite.send("", [f"to{i}@example.net"])
        suite.wait_log("status=sent", count=10)
        suite.wait_empty()
        expect_equal(len({m.session for m in sink.messages}), 10, "sessions of 10 messages")
        expect(not any("conn_use=" in line for line in suite.lines()), "conn_use without reuse")

    # Kept for a listed destination though nothing waits; closed when the time is over.
    with Suite(relayhost=sink.place, smtp_connection_cache_time_limit="3s", **ALWAYS) as suite:
        first = deliver(suite, sink)
        expect_equal(deliver(suite, sink), first, "session of the second message")
        suite.wait_log(r"to=<to@example\.net>, relay=.*, conn_use=2, delay=")
        ports.wait_until(lambda: sink.open == 0, 20, "the end of the idle session")

    # Not used again more often than allowed.
    with Suite(relayhost=sink.place, smtp_connection_cache_time_limit="60s",
               smtp_connection_reuse_count_limit="2", **ALWAYS) as suite:
        used = [deliver(suite, sink) for _ in range(7)]
        expect_equal([used.count(n) for n in sorted(set(used))], [3, 3, 1], "messages per session")

    # Not used when it is too old, though it never was idle for long.
    with Suite(relayhost=sink.place, smtp_connection_cache_time_limit="60s",
               smtp_connection_reuse_time_limit="2s", **ALWAYS) as suite:
        first = deliver(suite, sink)
        ports.wait_until(lambda: deliver(suite, sink) != first, 30, "another session")

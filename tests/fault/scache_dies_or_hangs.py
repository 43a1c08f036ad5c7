# SPDX-License-Identifier: MIT
"""Mail goes on whatever becomes of scache, or of an agent whose connections it keeps.

# shows: connection_cache_protocol_timeout
"""
import os
import signal

import ports
import procs
import sinks
from suite import Suite, expect, expect_equal

KEPT = {"smtp_connection_cache_destinations": "127.0.0.1", "smtp_connection_cache_time_limit": "60s",
        "connection_cache_ttl_limit": "60s", "connection_cache_protocol_timeout": "1s"}


def deliver(suite, sink):
    sent = suite.send("", ["to@example.net"])
    suite.wait_log(rf"{sent}: removed")
    return sink.messages[-1].session


def pids(suite, name):
    return ports.wait_until(lambda: suite.pids(name), 20, name)


def replace_agents(suite):
    """A reload: idle sessions go to scache, and other processes come."""
    old = pids(suite, "smtp")
    suite.reload()
    procs.wait_gone(old, 20)


with sinks.Sink() as sink, Suite(relayhost=sink.place, **KEPT) as suite:
    session = deliver(suite, sink)
    replace_agents(suite)

    # An agent is killed: what it gave away before is used by its successor.
    for pid in suite.pids("smtp"):
        os.kill(pid, signal.SIGKILL)
    expect_equal(deliver(suite, sink), session, "session that the killed agent had given away")

    # scache is killed with connections: the server sees their end, and mail goes over another.
    replace_agents(suite)
    expect_equal(sink.open, 1, "connections kept")
    for pid in pids(suite, "scache"):
        os.kill(pid, signal.SIGKILL)
    ports.wait_until(lambda: sink.open == 0, 20, "the end of what scache kept")
    second = deliver(suite, sink)
    expect(second != session, "a connection that was lost")
    # And its successor does its work.
    replace_agents(suite)
    expect_equal(deliver(suite, sink), second, "session by way of the new scache")

    # scache hangs: the agent does not wait longer than it should, and then not at all.
    replace_agents(suite)
    hung = pids(suite, "scache")
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    third = deliver(suite, sink)
    expect(third not in (session, second), "a connection out of a process that stands still")
    suite.wait_log(r"smtp\[\d+\]: warning: scache is away, going on without: it does not answer$")
    for pid in hung:
        os.kill(pid, signal.SIGCONT)
    expect_equal(deliver(suite, sink), third, "a connection of its own")
    expect_equal({m.recipients[0] for m in sink.messages}, {"to@example.net"}, "recipients")
    sent = len(sink.messages)
    suite.wait_empty()
    expect_equal(len(suite.wait_log("status=sent", count=sent)), sent, "deliveries")
    expect(not any("status=deferred" in line for line in suite.lines()), "mail that had to wait")

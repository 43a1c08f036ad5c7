# SPDX-License-Identifier: MIT
"""One connection serves messages of several smtp processes: it goes to scache when it has been idle
for half its time or its process retires, and is found there by the next.

# shows: connection_cache_ttl_limit connection_cache_status_update_time
# shows: connection_cache_service_name
"""
import re

import ports
import procs
import sinks
from suite import Suite, expect, expect_equal


def pid_of(suite, queue_id):
    """The smtp process that delivered the message."""
    return suite.wait_log(rf"postrider/smtp\[(\d+)\]: {queue_id}: to=.*status=sent").group(1)


def deliver(suite, sink, recipient="to@example.net"):
    sent = suite.send("", [recipient])
    suite.wait_log(rf"{sent}: removed")
    return sink.messages[-1].session, pid_of(suite, sent)


KEPT = {"smtp_connection_cache_destinations": "127.0.0.1", "smtp_connection_cache_time_limit": "60s",
        "connection_cache_ttl_limit": "60s"}

with sinks.Sink() as sink:
    # A process retires: the next one goes on with its connection.
    with Suite(relayhost=sink.place, **KEPT) as suite:
        session, first = deliver(suite, sink)
        suite.reload()
        ports.wait_until(lambda: int(first) not in suite.pids("smtp"), 20, "the end of the old smtp")
        again, second = deliver(suite, sink)
        expect(second != first, "the same process")
        expect_equal(again, session, "the session of the second process")
        suite.wait_log(r"to=<to@example\.net>, relay=.*, conn_use=2, delay=")
        expect_equal(sink.sessions[session].lines.count("RSET"), 1, "probes of the connection")
        # And on, for what lies in the pool of a process is its own again.
        expect_equal(deliver(suite, sink), (session, second), "the third")
        expect_equal(sink.sessions[session].lines.count("RSET"), 1, "probes of the connection")

    # Without a place in the list, too, where qmgr says that more mail waits or mail came just now.
    with Suite(relayhost=sink.place, connection_cache_ttl_limit="60s",
               smtp_connection_cache_time_limit="60s") as suite:
        deliver(suite, sink)
        session, first = deliver(suite, sink)
        suite.reload()
        ports.wait_until(lambda: int(first) not in suite.pids("smtp"), 20, "the end of the old smtp")
        expect_equal(deliver(suite, sink)[0], session, "the session of the second process")

    # Idle for half its time: scache has it, says how it is used, and says goodbye at the end.
    with Suite(relayhost=sink.place, connection_cache_status_update_time="1s",
               **KEPT | {"smtp_connection_cache_time_limit": "3s"}) as suite:
        session, _ = deliver(suite, sink)
        suite.wait_log(r"scache\[\d+\]: statistics: start interval \w{3} [ \d]\d \d\d:\d\d:\d\d$")
        suite.wait_log(r"scache\[\d+\]: statistics: domain lookup hits=0 miss=1 success=0%$")
        suite.wait_log(r"scache\[\d+\]: statistics: address lookup hits=0 miss=1 success=0%$")
        suite.wait_log(r"scache\[\d+\]: statistics: "
                       r"max simultaneous domains=1 addresses=1 connection=1$")
        again, _ = deliver(suite, sink)
        expect_equal(again, session, "session of the second message")
        suite.wait_log(r"scache\[\d+\]: statistics: domain lookup hits=1 miss=0 success=100%$")
        ports.wait_until(lambda: sink.open == 0, 20, "the end of the idle session")
        expect_equal(sink.sessions[session].lines[-1], "QUIT", "the last word")

    # No longer than scache allows.
    with Suite(relayhost=sink.place, **KEPT | {"connection_cache_ttl_limit": "1s"}) as suite:
        session, first = deliver(suite, sink)
        suite.reload()
        ports.wait_until(lambda: sink.open == 0, 20, "the end of the idle session")
        expect(deliver(suite, sink)[0] != session, "a connection that scache had to let go")

    # Under another name it is not there, and mail goes without it.
    with Suite(relayhost=sink.place, connection_cache_service_name="elsewhere", **KEPT) as suite:
        session, first = deliver(suite, sink)
        suite.reload()
        ports.wait_until(lambda: int(first) not in suite.pids("smtp"), 20, "the end of the old smtp")
        expect(deliver(suite, sink)[0] != session, "a connection passed on without scache")
        suite.wait_log(r"warning: elsewhere is away, going on without")
        expect(not any(re.search(r"scache\[\d+\]", line) for line in suite.lines()), "scache at work")


# LMTP does the same.
with sinks.Sink(lmtp=True) as sink:
    with Suite(default_transport=f"lmtp:inet:127.0.0.1:{sink.port}", connection_cache_ttl_limit="60s",
               lmtp_connection_cache_destinations="127.0.0.1",
               lmtp_connection_cache_time_limit="60s") as suite:
        sent = suite.send("", ["to@example.net"])
        suite.wait_log(rf"{sent}: removed")
        old = suite.pids("lmtp")
        suite.reload()
        procs.wait_gone(old, 20)
        suite.send("", ["to@example.net"])
        sink.wait(2)
        suite.wait_log(r"postrider/lmtp\[\d+\]: .*, conn_use=2, delay=.*status=sent")
        expect_equal(len(sink.sessions), 1, "connections of two processes")


# Two processes, one delivery each at a time. qmgr sends a destination's mail to the one that had it
# last; when that has no room, the other takes over the connection that scache keeps by then.
def stall(session, line):
    return sinks.STALL


with sinks.Sink() as sink, sinks.Sink({"RCPT": stall}) as tarpit:
    with Suite(relayhost=sink.place, smtp_session_limit="1",
               connection_cache_status_update_time="1s",
               transport_maps=f"inline:{{ slow.example=smtp:{tarpit.place} }}",
               **KEPT | {"smtp_connection_cache_time_limit": "10s"}) as suite:
        session, first = deliver(suite, sink)
        suite.send("", ["to@slow.example"])
        ports.wait_until(lambda: len(tarpit.sessions) == 1, 20, "the stalled delivery")
        suite.wait_log("max simultaneous domains=1 addresses=1 connection=1$")
        again, second = deliver(suite, sink)
        expect(second != first, "two deliveries at a time in one process")
        expect_equal(again, session, "the session of the other process")
        # The first has room again, and is not asked.
        tarpit.close()
        suite.wait_log(r"to=<to@slow\.example>.*status=deferred")
        for i in range(5):
            expect_equal(deliver(suite, sink), (session, second), f"message {i}")
        expect_equal(len(sink.sessions), 1, "connections for all of it")

# SPDX-License-Identifier: MIT
"""Two smtp processes: a TLS session cannot change the process, so qmgr sends a destination's mail to the one that
has it. When that one has no room, the other opens a session of its own, and mail follows there.

# shows: smtp_tls_connection_reuse smtp_connection_cache_destinations smtp_session_limit
"""
import re
import tempfile

import certs
import ports
import sinks
from suite import Suite, expect, expect_equal
from tls_peer import TlsPeer


def stall(session, line):
    return sinks.STALL


def deliver():
    """The process, and how often its session has been used."""
    sent = suite.send("", ["to@example.net"])
    line = suite.wait_log(rf"postrider/smtp\[(\d+)\]: {sent}: to=<to@example\.net>.*tls=encrypt, .*status=sent")
    use = re.search(r"conn_use=(\d+)", line.string)
    return line.group(1), int(use.group(1)) if use else 1


with tempfile.TemporaryDirectory() as directory:
    certificate = certs.Authority(directory).issue("peer.example")
    with TlsPeer(certificate) as peer, sinks.Sink({"RCPT": stall}) as first_tarpit, \
            sinks.Sink({"RCPT": stall}) as second_tarpit, \
            Suite(start=False, relayhost=f"[127.0.0.1]:{peer.port}", smtp_session_limit="1",
                  smtp_tls_connection_reuse="yes", smtp_connection_cache_destinations="127.0.0.1",
                  smtp_connection_cache_time_limit="60s",
                  smtp_tls_policy_maps=f"inline:{{{{[127.0.0.1]:{peer.port}=encrypt}}}}",
                  smtp_tls_security_level="none") as suite:
        suite.configure(transport_maps=f"inline:{{ slow.example=smtp:{first_tarpit.place}, "
                                       f"slower.example=smtp:{second_tarpit.place} }}")
        suite.start()
        # One process is taken, so the session belongs to the other.
        suite.send("", ["to@slow.example"])
        ports.wait_until(lambda: first_tarpit.sessions, 20, "the stalled delivery")
        owner, use = deliver()
        expect_equal(use, 1, "uses")
        first_tarpit.close()
        suite.wait_log(r"to=<to@slow\.example>.*status=deferred")
        expect_equal(len(suite.pids("smtp")), 2, "processes")
        # Both have room.
        for n in range(2, 7):
            expect_equal(deliver(), (owner, n), f"message {n}: process and uses")
        expect_equal(len(peer.sessions), 1, "sessions with TLS")
        # The owner has no room: the other one begins anew, and keeps what it has by then.
        suite.send("", ["to@slower.example"])
        ports.wait_until(lambda: second_tarpit.sessions, 20, "the stalled delivery")
        busy = deliver()
        again = deliver()
        expect_equal(again, (busy[0], busy[1] + 1), "process and uses behind the stalled delivery")
        expect_equal(len(peer.sessions), 1 if busy[0] == owner else 2, "sessions with TLS")
        expect(all(s.tls for s in peer.sessions), "a session in the clear")

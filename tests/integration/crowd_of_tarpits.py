# SPDX-License-Identifier: MIT
"""A domain with 50 MX hosts of 50 addresses each, all of which accept and say nothing, costs no more
attempts than smtp_mx_address_limit, and no more time than daemon_timeout when there is no such limit.

shows: smtp_mx_address_limit smtp_helo_timeout daemon_timeout
"""
import sinks
from hostile_names import MX, HostileServer, a, answers, mx, only
from suite import Suite, expect, expect_equal

RULES = {"crowd.example": only(MX, answers(*[mx(n, f"h{n}.example") for n in range(50)])),
         **{f"h{n}.example": answers(*[a(f"127.1.{n}.{i + 1}") for i in range(50)]) for n in range(50)}}
for settings, least, most in (({"smtp_mx_address_limit": "3"}, 3, 3),
                              ({"smtp_mx_address_limit": "0", "daemon_timeout": "4s"}, 2, 20)):
    with HostileServer(RULES) as dns, sinks.Sink({"connect": sinks.STALL}, host="0.0.0.0") as sink, \
            Suite(dns_resolvers=dns.resolver, smtp_tcp_port=sink.port, smtp_helo_timeout="1s",
                  minimal_backoff_time="1h", maximal_backoff_time="1h", **settings) as suite:
        sent = suite.send("", ["to@crowd.example"])
        match = suite.wait_log(rf"{sent}: to=<to@crowd\.example>.*status=(\w+) \((.*)\)", seconds=60)
        expect_equal(match.group(1), "deferred", match.group(2))
        expect(least <= len(sink.sessions) <= most, f"{len(sink.sessions)} connections with {settings}")
        if most == least:
            expect_equal(len({session.peer for session in sink.sessions}), most, "connections")
        expect(len(dns.asked) <= 100, f"{len(dns.asked)} look-ups")

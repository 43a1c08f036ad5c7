# SPDX-License-Identifier: MIT
"""Connections come from smtp_bind_address, or from the one address of a virtual host; an address that
cannot be used is passed over, or with smtp_bind_address_enforce mail waits.

shows: smtp_bind_address smtp_bind_address_enforce
"""
import sinks
from suite import Suite, expect_equal

# settings -> the address the server sees, or the reason of the deferral
CASES = [
    ({}, "127.0.0.1"),
    ({"smtp_bind_address": "127.0.0.9"}, "127.0.0.9"),
    ({"smtp_bind_address": "[127.0.0.9]", "smtp_bind_address_enforce": "yes"}, "127.0.0.9"),
    ({"smtp_bind_address": "192.0.2.9"}, "127.0.0.1"),
    ({"smtp_bind_address": "192.0.2.9", "smtp_bind_address_enforce": "yes"}, None),
]
for settings, seen in CASES:
    with sinks.Sink() as sink, Suite(relayhost=sink.place, **settings) as suite:
        sent = suite.send("", ["to@there.example"])
        if seen is None:
            match = suite.wait_log(rf"{sent}: to=<to@there\.example>.*dsn=(\S+), status=deferred \((.*)\)")
            expect_equal(match.groups(), ("4.4.0", "server configuration error: bind 192.0.2.9: "
                                                   "Cannot assign requested address"), str(settings))
            expect_equal(sink.sessions, [], "connections")
        else:
            sink.wait(1)
            expect_equal(sink.sessions[0].peer[0], seen, str(settings))
        if settings.get("smtp_bind_address") == "192.0.2.9":
            suite.wait_log(r"warning: bind 192\.0\.2\.9: Cannot assign requested address")

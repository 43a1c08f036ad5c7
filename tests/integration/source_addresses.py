# SPDX-License-Identifier: MIT
"""Connections come from the configured addresses; where that cannot be, the mail goes without or, with
smtp_bind_address_enforce, waits.

# shows: smtp_bind_address smtp_bind_address6 smtp_bind_address_enforce
"""
import socket

import sinks
from suite import Suite, expect_equal, skip


class Noting(sinks.Sink):
    """Knows where its clients come from."""

    async def serve(self, reader, writer):
        self.clients = getattr(self, "clients", []) + [writer.get_extra_info("peername")[0]]
        await super().serve(reader, writer)


try:
    socket.create_server(("::1", 0), family=socket.AF_INET6).close()
except OSError:
    skip("no IPv6 here")
with Noting() as four, Noting(host="::1") as six:
    routes = f"inline:{{ four.example=smtp:{four.place}, six.example=smtp:[ipv6:::1]:{six.port} }}"
    common = {"transport_maps": routes, "inet_protocols": "all",
              "smtp_connection_cache_on_demand": "no"}
    with Suite(smtp_bind_address="127.0.0.77", smtp_bind_address6="2001:db8::77", **common) as suite:
        suite.send("", ["to@four.example"])
        four.wait(1)
        expect_equal(four.clients[-1], "127.0.0.77", "where it comes from")
        suite.send("", ["to@six.example"])
        six.wait(1)
        expect_equal(six.clients[-1], "::1", "an address that cannot be used")
        suite.wait_log(r"warning: .*2001:db8::77")
    with Suite(smtp_bind_address6="2001:db8::77", smtp_bind_address_enforce="yes", **common) as suite:
        suite.send("", ["to@six.example"])
        suite.wait_log(r"to=<to@six\.example>, relay=none, .*status=deferred")
        suite.send("", ["to@four.example"])
        four.wait(2)
        expect_equal(four.clients[-1], "127.0.0.1", "the other family")
        expect_equal(len(six.messages), 1, "messages over IPv6")

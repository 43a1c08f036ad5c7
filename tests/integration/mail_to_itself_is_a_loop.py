# SPDX-License-Identifier: MIT
"""A domain whose best MX is this host, and that it does not serve, is returned and not sent round.

# shows: inet_interfaces
"""
import tempfile

import names
from suite import Suite, expect_match, skip

if not names.available():
    skip("nsd is not installed")
ZONE = """
round MX 10 us.round
us.round A 127.0.0.1
named MX 10 mail.postrider.example.
"""
with tempfile.TemporaryDirectory() as directory, \
        names.NameServer(directory + "/dns", {"example": ZONE}) as dns, \
        Suite(dns_resolvers=dns.resolver, inet_interfaces="127.0.0.1") as suite:
    for domain in ("round.example", "named.example"):
        sent = suite.send("", [f"to@{domain}"])
        match = suite.wait_log(rf"{sent}: to=<to@{domain}>.*dsn=([\d.]+), status=bounced \((.*)\)")
        expect_match(r"5\.4\.6", match.group(1), match.group(2))

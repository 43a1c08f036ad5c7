# SPDX-License-Identifier: MIT
"""An MX record whose signature is wrong makes mail wait. It does not go to the address of the domain
instead, whose signature is right, nor does ignore_mx_lookup_error change that."""
import tempfile

import names
import sinks
from suite import Suite, expect_equal, expect_match, skip

if not names.available():
    skip("nsd is not installed")
ZONE = """
there MX 10 mx.there
there A 127.0.1.1
mx.there A 127.0.1.1
host MX 20 mx.host
mx.host A 127.0.1.77
fair MX 30 mx.there
"""
# Of the second domain the MX is signed well, the address of its host is not.
TAMPER = [("MX\t10 mx.there", "MX\t11 mx.there"), ("127.0.1.77", "127.0.1.1")]
with tempfile.TemporaryDirectory() as directory, \
        names.NameServer(directory + "/dns", {"example": ZONE}, signed=["example"], tamper=TAMPER) as dns, \
        sinks.Sink(host="127.0.1.1") as sink, \
        Suite(dns_resolvers=dns.resolver, dns_trust_anchor_file=dns.anchor_file, smtp_tcp_port=sink.port,
              ignore_mx_lookup_error="yes") as suite:
    for domain in ("there.example", "host.example"):
        sent = suite.send("", [f"to@{domain}"])
        match = suite.wait_log(rf"{sent}: to=<to@{domain}>, relay=none.*dsn=(\S+), status=(\w+) \((.*)\)", seconds=60)
        expect_equal(match.groups()[:2], ("4.4.3", "deferred"), match.group(3))
        expect_match("DNSSEC validation failed", match.group(3), domain)
    expect_equal(sink.messages, [], "messages")
    sent = suite.send("", ["to@fair.example"])
    suite.wait_log(rf"{sent}: to=<to@fair\.example>.*status=sent", seconds=60)

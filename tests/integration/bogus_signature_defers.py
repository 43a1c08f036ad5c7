# SPDX-License-Identifier: MIT
"""A zone whose signatures do not match its trust anchor is not believed: mail waits, none goes out.

# shows: dns_trust_anchor_file
"""
import tempfile

import names
import sinks
from suite import Suite, expect_equal, skip

if not names.available():
    skip("nsd is not installed")
with tempfile.TemporaryDirectory() as directory, \
        sinks.Sink(host="127.0.1.1") as sink:
    zones = {"example": "there A 127.0.1.1"}
    with names.NameServer(directory + "/other", zones, signed=["example"]) as other:
        wrong = other.anchor_file.read_text()
    with names.NameServer(directory + "/dns", zones, signed=["example"]) as dns:
        dns.anchor_file.write_text(wrong)
        with Suite(dns_resolvers=dns.resolver, dns_trust_anchor_file=dns.anchor_file,
                   smtp_tcp_port=sink.port) as suite:
            sent = suite.send("from@there.example", ["to@there.example"])
            suite.wait_log(rf"{sent}: to=<to@there\.example>.*status=deferred", seconds=60)
            expect_equal(sink.messages, [], "messages")

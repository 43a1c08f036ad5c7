# SPDX-License-Identifier: MIT
"""A host that greets with 421, one that closes at once and one that refuses EHLO and HELO are passed
over for the next MX host within the same delivery."""
import tempfile

import names
import ports
import sinks
from suite import Suite, expect_equal, skip

if not names.available():
    skip("nsd is not installed")
ZONE = """
there MX 10 busy.there
there MX 20 shut.there
there MX 30 good.there
busy.there A 127.0.1.1
shut.there A 127.0.1.2
good.there A 127.0.1.3
"""
port = ports.free_port("127.0.1.1")
with tempfile.TemporaryDirectory() as directory, \
        names.NameServer(directory + "/dns", {"example": ZONE}) as dns, \
        sinks.Sink({"connect": "421 4.3.2 too busy"}, host="127.0.1.1", port=port) as busy, \
        sinks.Sink({"connect": sinks.CLOSE}, host="127.0.1.2", port=port) as shut, \
        sinks.Sink(host="127.0.1.3", port=port) as good, \
        Suite(dns_resolvers=dns.resolver, smtp_tcp_port=port) as suite:
    sent = suite.send("from@there.example", ["to@there.example"])
    good.wait(1)
    suite.wait_log(rf"{sent}: to=<to@there\.example>, relay=good\.there\.example\[127\.0\.1\.3\].*status=sent")
    expect_equal((len(busy.sessions), len(shut.sessions)), (1, 1), "sessions with the others")

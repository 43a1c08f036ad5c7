# SPDX-License-Identifier: MIT
"""Without a relay host mail goes to the MX hosts of a signed zone, in order of preference; a host that
refuses the connection is passed over."""
import tempfile

import names
import ports
import sinks
from suite import Suite, expect_equal, expect_match, skip

if not names.available():
    skip("nsd is not installed")
ZONE = """
there MX 20 mx2.there
there MX 10 mx1.there
mx1.there A 127.0.1.9
mx2.there A 127.0.1.1
plain A 127.0.1.1
alias CNAME there
"""
port = ports.free_port("127.0.1.1")
with tempfile.TemporaryDirectory() as directory, \
        names.NameServer(directory + "/dns", {"test": ZONE}, signed=["test"]) as dns, \
        sinks.Sink(host="127.0.1.1", port=port) as sink, \
        Suite(dns_resolvers=dns.resolver, dns_trust_anchor_file=dns.anchor_file,
              smtp_tcp_port=port) as suite:
    first = suite.send("from@sender.test", ["to@there.test"])
    sink.wait(1)
    suite.wait_log(rf"{first}: to=<to@there\.test>, relay=mx2\.there\.test\[127\.0\.1\.1\]:{port}, "
                   r"delay=[\d.]+, delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, dsn=2\.0\.0, status=sent")
    # A domain without MX is its own mail host; a CNAME leads to the MX of its target.
    second = suite.send("from@sender.test", ["to@plain.test"])
    suite.wait_log(rf"{second}: to=<to@plain\.test>, relay=plain\.test\[127\.0\.1\.1\]:{port}.*status=sent")
    third = suite.send("from@sender.test", ["to@alias.test"])
    suite.wait_log(rf"{third}: to=<to@alias\.test>, relay=mx2\.there\.test\[.*status=sent")
    messages = sink.wait(3)
    expect_equal([m.recipients for m in messages],
                 [["to@there.test"], ["to@plain.test"], ["to@alias.test"]], "recipients")
    expect_match(r"(?m)^Received: from client\.example .*127\.0\.0\.1", messages[0].header, "trace")
    expect_equal(messages[0].body, b"hello\r\n", "body")

# SPDX-License-Identifier: MIT
"""Without a relay host mail goes to the MX hosts of a signed zone, in order of preference; a host that
refuses the connection is passed over.

# shows: dns_resolvers dns_trust_anchor_file smtp_tcp_port
"""
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
        names.NameServer(directory + "/dns", {"example": ZONE}, signed=["example"]) as dns, \
        sinks.Sink(host="127.0.1.1", port=port) as sink, \
        Suite(dns_resolvers=dns.resolver, dns_trust_anchor_file=dns.anchor_file,
              smtp_tcp_port=port) as suite:
    first = suite.send("from@sender.example", ["to@there.example"])
    sink.wait(1)
    suite.wait_log(rf"{first}: to=<to@there\.example>, relay=mx2\.there\.example\[127\.0\.1\.1\]:{port}, "
                   r"delay=[\d.]+, delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, tls=may:none, dsn=2\.0\.0, status=sent")
    # A domain without MX is its own mail host; a CNAME leads to the MX of its target.
    second = suite.send("from@sender.example", ["to@plain.example"])
    suite.wait_log(rf"{second}: to=<to@plain\.example>, relay=plain\.example\[127\.0\.1\.1\]:{port}.*status=sent")
    third = suite.send("from@sender.example", ["to@alias.example"])
    suite.wait_log(rf"{third}: to=<to@alias\.example>, relay=mx2\.there\.example\[.*status=sent")
    messages = sink.wait(3)
    expect_equal([m.recipients for m in messages],
                 [["to@there.example"], ["to@plain.example"], ["to@alias.example"]], "recipients")
    expect_match(r"(?m)^Received: from client\.example .*127\.0\.0\.1", messages[0].header, "trace")
    expect_equal(messages[0].body, b"hello\r\n", "body")

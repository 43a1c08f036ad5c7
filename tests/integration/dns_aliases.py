# SPDX-License-Identifier: MIT
"""What honest zones do with names leads to the server, signed or not: aliases of domains and of MX hosts,
DNAME, wildcards; a chain of aliases without an end is temporary trouble."""
import tempfile

import names
import ports
import sinks
from suite import Suite, skip

if not names.available():
    skip("nsd is not installed")
ZONE = """
there MX 10 mx.there
mx.there A 127.0.1.1
alias CNAME there
twice CNAME alias
hostalias MX 10 other.there
other.there CNAME mx.there
old DNAME there
*.wild MX 10 mx.there
*.stars A 127.0.1.1
""" + "\n".join(f"c{n} CNAME c{n + 1}" for n in range(100)) + "\nc100 MX 10 mx.there\n"
SENT = ("there", "alias", "twice", "hostalias", "mx.old", "any.wild", "a.b.wild", "any.stars")
port = ports.free_port("127.0.1.1")
for signed in ([], ["example"]):
    with tempfile.TemporaryDirectory() as directory, \
            names.NameServer(directory + "/dns", {"example": ZONE}, signed=signed) as dns, \
            sinks.Sink(host="127.0.1.1", port=port) as sink, \
            Suite(dns_resolvers=dns.resolver, smtp_tcp_port=port,
                  dns_trust_anchor_file=dns.anchor_file if signed else "") as suite:
        for name in SENT:
            sent = suite.send("", [f"to@{name}.example"])
            suite.wait_log(rf"{sent}: to=<to@{name}\.example>.*status=sent", seconds=60)
        sent = suite.send("", ["to@c0.example"])
        suite.wait_log(rf"{sent}: to=<to@c0\.example>.*dsn=4\.4\.3, status=deferred", seconds=60)

# SPDX-License-Identifier: MIT
"""No such domain and a null MX return the mail; SERVFAIL, REFUSED and an MX without addresses keep
it."""
import re
import tempfile

import names
import sinks
from suite import Suite, expect_equal, expect_match, skip

if not names.available():
    skip("nsd is not installed")
ZONE = """
nomail MX 0 .
dangling MX 10 gone.dangling
ok A 127.0.1.1
"""
# recipient -> status, and what the reason says; dangling: no host has an address, RFC 5321 5.1
CASES = {
    "a@nomail.example": ("bounced", r"5\.1\.10"),
    "a@nowhere.example": ("bounced", r"5\.4\.4|5\.1\.2"),
    "a@x.broken": ("deferred", r"4\.4\.3"),
    "a@x.elsewhere": ("deferred", r"4\.4\.3"),
    "a@dangling.example": ("bounced", r"5\.4\.4|5\.1\.2"),
}
with tempfile.TemporaryDirectory() as directory, \
        names.NameServer(directory + "/dns", {"example": ZONE, "broken": None}, signed=["example"]) as dns, \
        sinks.Sink(host="127.0.1.1") as sink, \
        Suite(dns_resolvers=dns.resolver, dns_trust_anchor_file=dns.anchor_file,
              smtp_tcp_port=sink.port) as suite:
    for recipient, (status, dsn) in CASES.items():
        sent = suite.send("sender@ok.example", [recipient])
        match = suite.wait_log(rf"{sent}: to=<{re.escape(recipient)}>.*dsn=([\d.]+), status=(\w+) \((.*)\)",
                               seconds=60)
        expect_equal(match.group(2), status, f"{recipient}: {match.group(3)}")
        expect_match(dsn, match.group(1), f"{recipient}: {match.group(3)}")
    returned = sink.wait(sum(status == "bounced" for status, _ in CASES.values()))
    expect_equal({tuple(m.recipients) for m in returned}, {("sender@ok.example",)}, "reports")

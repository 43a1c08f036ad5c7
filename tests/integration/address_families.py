# SPDX-License-Identifier: MIT
"""smtp_address_preference decides between the families; one that this host has no way for is passed over
quietly and takes no place within smtp_mx_address_limit. In a network namespace of its own.

shows: smtp_address_preference smtp_mx_address_limit inet_protocols smtp_bind_address6
"""
import os
import pathlib
import subprocess
import sys
import tempfile

if "IN_NAMESPACE" not in os.environ:
    up = "ip link set lo up 2>/dev/null || ifconfig lo up; exec \"$@\""
    made = subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True)
    if made.returncode != 0:
        print("skipped: no network namespaces")
        sys.exit(77)
    os.environ["IN_NAMESPACE"] = "yes"
    os.execvp("unshare", ["unshare", "-n", "sh", "-c", up, "sh", sys.executable, *sys.argv])

import ports
import sinks
from hostile_names import MX, HostileServer, a, answers, mx, only
from suite import Suite, expect, expect_equal, skip

if "00000000000000000000000000000001" not in pathlib.Path("/proc/net/if_inet6").read_text():
    skip("no IPv6")
port = ports.free_port()
RULES = {
    "both.example": answers(a("127.0.1.1"), a("::1")),
    "far.example": only(MX, answers(mx(10, "six.example"), mx(20, "both.example"))),
    "six.example": answers(*[a(f"2001:db8::{n}") for n in range(1, 9)]),
    "alone.example": answers(a("2001:db8::1")),
}
with HostileServer(RULES) as dns, sinks.Sink(host="127.0.1.1", port=port) as four, \
        sinks.Sink(host="::1", port=port) as six:
    for preference, server in (("ipv4", four), ("ipv6", six)):
        with Suite(inet_protocols="all", dns_resolvers=dns.resolver, smtp_tcp_port=port,
                   smtp_address_preference=preference, smtp_mx_address_limit="1",
                   smtp_bind_address6="::1", smtp_balance_inet_protocols="no") as suite:
            for domain in ("both.example", "far.example"):
                before = len(server.messages)
                sent = suite.send("", [f"to@{domain}"])
                suite.wait_log(rf"{sent}: to=<to@{domain}>, relay=both\.example\[.*status=sent")
                expect_equal(len(server.messages), before + 1, f"{domain} by {preference}")
            expect(not any("2001:db8" in line for line in suite.lines()), "a family without a route is not named")
            # With nothing better to report, the attempt speaks.
            sent = suite.send("", ["to@alone.example"])
            suite.wait_log(rf"{sent}: to=<to@alone\.example>.*status=deferred \(connect to alone\.example"
                           rf"\[2001:db8::1\]:{port}: Network is unreachable\)")

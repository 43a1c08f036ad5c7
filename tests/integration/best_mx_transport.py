# SPDX-License-Identifier: MIT
"""Mail whose best MX is this host, for a domain that no list names, goes to best_mx_transport, with or
without a next hop of its own; the log says who passed it on.

shows: best_mx_transport
"""
import sinks
from hostile_names import MX, HostileServer, a, answers, mx, only
from suite import Suite, expect_equal

RULES = {"ours.example": only(MX, answers(mx(10, "us.example"))), "us.example": answers(a("127.0.0.1"))}
with HostileServer(RULES) as dns, sinks.Sink(lmtp=True) as sink:
    for to in (f"lmtp:inet:127.0.0.1:{sink.port}", "lmtp"):
        with Suite(dns_resolvers=dns.resolver, inet_interfaces="127.0.0.1", best_mx_transport=to,
                   lmtp_tcp_port=sink.port, lmtp_host_lookup="dns") as suite:
            before = len(sink.messages)
            sent = suite.send("from@sender.example", ["a@ours.example", "b@ours.example"])
            for recipient in ("a@ours.example", "b@ours.example"):
                suite.wait_log(rf"postrider/smtp\[\d+\]: {sent}: passing <{recipient}> to transport=lmtp")
            if to == "lmtp":  # the next hop stays: the host of that name
                suite.wait_log(rf"postrider/lmtp\[\d+\]: {sent}: to=<a@ours\.example>.*status=", seconds=60)
                continue
            for recipient in ("a@ours.example", "b@ours.example"):
                suite.wait_log(rf"postrider/lmtp\[\d+\]: {sent}: to=<{recipient}>, relay=127\.0\.0\.1\["
                               rf"127\.0\.0\.1\]:{sink.port}.*status=sent", seconds=60)
            expect_equal(sorted(r for m in sink.messages[before:] for r in m.recipients),
                         ["a@ours.example", "b@ours.example"], "recipients")
            suite.wait_empty()

# SPDX-License-Identifier: MIT
"""A name server that is down makes mail wait, and soon after it is back mail goes on: also by the same
client process, and also to what it has not asked for before."""
import sinks
from hostile_names import HostileServer, a, answers
from suite import Suite, expect_equal

RULES = {f"d{n}.example": answers(a("127.0.1.1")) for n in range(20)}
dns = HostileServer(RULES).start()
with sinks.Sink(host="127.0.1.1") as sink, \
        Suite(dns_resolvers=dns.resolver, smtp_tcp_port=sink.port, dns_time_limit="5s",
              minimal_backoff_time="1s", maximal_backoff_time="2s", queue_run_delay="1s") as suite:
    try:
        suite.wait_log(rf"{suite.send('', ['to@d0.example'])}: to=.*status=sent")
        pids = suite.pids("smtp")
        dns.stop()
        ids = [suite.send("", [f"to@d{n}.example"]) for n in range(1, 6)]
        for sent in ids:
            suite.wait_log(rf"{sent}: to=.*dsn=4\.4\.3, status=deferred", seconds=60)
        dns.start()
        for sent in ids:
            suite.wait_log(rf"{sent}: to=.*status=sent", seconds=120)
        expect_equal(suite.pids("smtp"), pids, "the client's processes")
    finally:
        dns.stop()

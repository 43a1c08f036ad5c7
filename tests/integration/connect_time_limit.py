# SPDX-License-Identifier: MIT
"""A host that does not answer at all, and name servers that do not, are given their time and no more.
Without a limit it is the kernel that gives up: minutes later, so a host that comes back gets its mail.

# shows: smtp_connect_timeout dns_time_limit
"""
import contextlib
import socket

import sinks
from suite import Suite, expect, expect_equal

with contextlib.ExitStack() as stack:
    # A full backlog: the kernel leaves further clients without an answer.
    deaf = stack.enter_context(socket.socket())
    deaf.bind(("127.0.0.1", 0))
    deaf.listen(0)
    address = deaf.getsockname()
    for _ in range(3):
        client = stack.enter_context(socket.socket())
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(address)
    mute = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    mute.bind(("127.0.0.1", 0))
    suite = Suite(
        start=False, smtp_connect_timeout="1s", dns_time_limit="1s",
        transport_maps=f"inline:{{ deaf.example=smtp:[127.0.0.1]:{address[1]},"
                       f" later.example=patient:[127.0.0.1]:{address[1]} }}",
        dns_resolvers=f"127.0.0.1@{mute.getsockname()[1]}")
    with (suite.dir / "master.cf").open("a") as master_cf:
        master_cf.write("patient unix - - n - - smtp -o smtp_connect_timeout=0\n")
    stack.enter_context(suite)
    suite.start()
    suite.send("", ["to@later.example"])
    suite.send("", ["to@deaf.example"])
    suite.wait_log(r"to=<to@deaf\.example>, relay=none, .*dsn=4\.4\.1, status=deferred \(connect to "
                   rf"127\.0\.0\.1\[127\.0\.0\.1\]:{address[1]}: Connection timed out\)")
    suite.send("", ["to@mute.example"])
    suite.wait_log(r"to=<to@mute\.example>, relay=none, .*dsn=4\.4\.3, status=deferred "
                   r"\(Host or domain name not found\. Name service error for name=mute\.example")
    expect(not any("to=<to@later.example>" in line for line in suite.lines()), "it is waited for")
    with sinks.Sink(listener=deaf) as sink:  # it hears again
        suite.wait_log(r"to=<to@later\.example>.*status=sent", seconds=60)
        expect_equal(len(sink.messages), 1, "messages")

# SPDX-License-Identifier: MIT
"""Two thousand clients at once, each in the middle of a message: all are served by the few processes
there are, and all their mail arrives."""
import resource
import socket

import ports
import sinks
from suite import Suite, expect, expect_equal

COUNT = 2000
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
with sinks.Sink() as sink, Suite(relayhost=sink.place) as suite:
    clients = [socket.create_connection(("127.0.0.1", suite.port), timeout=60) for _ in range(COUNT)]
    files = [c.makefile("rb") for c in clients]

    def each(send, code):
        for i, client in enumerate(clients):
            if send:
                client.sendall(send.format(i).encode())
        for file in files:
            while True:
                line = file.readline()
                if line[3:4] != b"-":
                    break
            expect_equal(line[:3], code, f"reply to {send!r}: {line!r}")

    each("", b"220")
    each("EHLO client.example\r\n", b"250")
    each("MAIL FROM:<a@example.org>\r\n", b"250")
    each("RCPT TO:<to{0}@example.net>\r\n", b"250")
    each("DATA\r\n", b"354")
    processes = len(suite.pids("smtpd"))
    expect(processes <= 8, f"{processes} smtpd processes")
    each("Subject: {0}\r\n\r\nbody\r\n.\r\n", b"250")
    sink.wait(COUNT, seconds=120)
    for client, file in zip(clients, files):
        file.close()
        client.close()
    suite.wait_empty(60)
    ports.wait_until(lambda: len({m.recipients[0] for m in sink.messages}) == COUNT)

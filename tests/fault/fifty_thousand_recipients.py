# SPDX-License-Identifier: MIT
"""A message with 50,000 recipients, and kill -9 of everything in the middle of its delivery: every
recipient gets it, and those that had it do not get it again, but for what was in flight and the
ledger's window."""
import socket

import ports
import sinks
from suite import Suite, expect

COUNT = 50_000


def submit(port):
    """One transaction, commands in batches: the replies of each are read before the next."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        replies = s.makefile("rb")

        def ask(commands, last):
            s.sendall("".join(c + "\r\n" for c in commands).encode())
            for _ in commands:
                line = replies.readline()
                while line[3:4] == b"-":
                    line = replies.readline()
                expect(line.startswith(last), f"reply {line!r}")

        expect(replies.readline().startswith(b"220"), "no greeting")
        ask(["EHLO client.example"], b"250")
        ask(["MAIL FROM:<list@example.org>"], b"250")
        for first in range(0, COUNT, 500):
            ask([f"RCPT TO:<u{i}@example.net>" for i in range(first, first + 500)], b"250")
        ask(["DATA"], b"354")
        ask(["Subject: to many\r\n\r\nhello\r\n."], b"250")
        ask(["QUIT"], b"221")


with sinks.Sink() as sink, Suite(relayhost=sink.place, smtpd_recipient_limit=COUNT) as suite:
    submit(suite.port)
    sink.wait(200)
    suite.kill_all()
    before = {r for m in list(sink.messages) for r in m.recipients}
    expect(0 < len(before) < COUNT, f"killed with {len(before)} delivered")
    suite.start()
    ports.wait_until(lambda: len({r for m in list(sink.messages) for r in m.recipients}) == COUNT, 120,
                     "all recipients")
    suite.wait_empty()
    copies = sum(len(m.recipients) for m in sink.messages) - COUNT
    # At most 20 deliveries of 50 recipients are in flight, and 64 marks are not yet synced.
    expect(copies <= 20 * 50 + 64, f"{copies} recipients got it twice")

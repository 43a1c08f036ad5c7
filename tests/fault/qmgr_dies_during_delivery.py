# SPDX-License-Identifier: MIT
"""qmgr dies while an agent is in the middle of a delivery: the agent gives it up before the next qmgr
has the message delivered again. At no time are two deliveries of it under way."""
import os
import signal
import threading

import ports
import procs
import sinks
from suite import Suite, expect_equal


class Slow(sinks.Sink):
    """Does not answer the first final dot; notes how many clients are there at each MAIL."""

    def __init__(self):
        self.readers, self.at_mail, self.stalls = [], [], threading.Event()
        super().__init__({"MAIL": self.mail, "dot": self.dot})

    async def talk(self, session, reader, writer):
        self.readers.append(reader)
        await super().talk(session, reader, writer)

    def mail(self, session, line):
        self.at_mail.append(sum(not reader.at_eof() for reader in self.readers))

    def dot(self, session, line):
        if self.stalls.is_set():
            return None
        self.stalls.set()
        return sinks.STALL


with Slow() as sink, Suite(relayhost=sink.place) as suite:
    suite.send("from@example.org", ["to@example.net"])
    sink.stalls.wait(20)
    pids = suite.pids("qmgr")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    procs.wait_gone(pids)
    ports.wait_until(lambda: len(sink.at_mail) == 2, 30, "the second delivery")
    sink.wait(1)
    suite.wait_empty()
    expect_equal(sink.at_mail, [1, 1], "clients at MAIL")

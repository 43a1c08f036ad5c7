# SPDX-License-Identifier: MIT
"""Master cannot start processes for a while: those that run go on serving, master tries again with
growing pauses and does not spin, and when it can again everything that waited is done."""
import errno
import os
import signal

import ports
import procs
import shim
import sinks
from suite import RawClient, Suite, expect, expect_match

with sinks.Sink() as sink, Suite(start=False, relayhost=sink.place, minimal_backoff_time="1s",
                                 maximal_backoff_time="1s", transport_retry_time="1s",
                                 service_throttle_time="2s", smtpd_peername_lookup="no") as suite:
    page = shim.install(suite, "master")
    suite.start()
    client = suite.raw()
    expect_match("^250", client.command("EHLO client.example"), "EHLO")
    suite.send("", ["first@example.net"])
    sink.wait(1)
    for error in (errno.EAGAIN, errno.ENOMEM):
        page.fork_error = error
        agents = suite.pids("smtp")
        for pid in agents:
            os.kill(pid, signal.SIGKILL)
        procs.wait_gone(agents)
        looks = page.looks
        # What runs goes on: mail is taken.
        for i in range(20):
            suite.send("", [f"{errno.errorcode[error]}-{i}@example.net"])
        suite.wait_log(rf"service smtp: fork: {os.strerror(error)}", count=2)
        expect(page.looks - looks < 400, f"{page.looks - looks} looks for events of master")
        expect_match("^250", client.command("NOOP"), "a session of before")
        expect(not suite.pids("smtp"), "no agent")
        page.fork_error = 0
        ports.wait_until(lambda: sum(errno.errorcode[error] in m.recipients[0] for m in list(sink.messages)) == 20, 60,
                         "the mail that waited")
    client.close()
    suite.wait_empty()
    tries = sum("fork: " in line for line in suite.lines())
    print(f"{tries} tries failed")

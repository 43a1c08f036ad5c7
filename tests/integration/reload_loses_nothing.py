# SPDX-License-Identifier: MIT
"""Mail that is acknowledged at the very time at which qmgr is replaced is delivered, too: while clients
send without pause, the suite reloads again and again."""
import smtplib
import threading

import ports
import sinks
from suite import Suite, expect_equal

RELOADS = 12
with sinks.Sink() as sink, Suite(relayhost=sink.place, minimal_backoff_time="1s",
                                 maximal_backoff_time="1s") as suite:
    acknowledged, done = set(), threading.Event()

    def client(name):
        n = 0
        while not done.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", suite.port, "client.example", timeout=60) as session:
                    while not done.is_set():
                        n += 1
                        session.sendmail("", [f"{name}-{n}@example.net"], "Subject: x\n\nx\n")
                        acknowledged.add(f"{name}-{n}@example.net")
            except (smtplib.SMTPException, OSError):
                pass  # not acknowledged: not ours to deliver

    clients = [threading.Thread(target=client, args=(f"c{i}",)) for i in range(4)]
    for thread in clients:
        thread.start()
    for generation in range(RELOADS):
        suite.wait_log("queue recovered", count=generation + 1, seconds=60)
        before = len(acknowledged)
        ports.wait_until(lambda: len(acknowledged) > before + 20, 60, "mail")
        suite.reload()
    suite.wait_log("queue recovered", count=RELOADS + 1, seconds=60)
    done.set()
    for thread in clients:
        thread.join()

    def delivered():
        return {r for m in sink.messages for r in m.recipients}

    try:
        ports.wait_until(lambda: acknowledged <= delivered(), 60)
    except TimeoutError:
        pass
    expect_equal(sorted(acknowledged - delivered()), [], f"lost, of {len(acknowledged)}")

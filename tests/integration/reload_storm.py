# SPDX-License-Identifier: MIT
"""Reloads under load: qmgr is replaced each time and takes over the queue from the one before. Every
mail is delivered once, no client is sent away, and no program gathers descriptors."""
import os
import smtplib
import threading

import ports
import sinks
from suite import Suite, expect, expect_equal

RELOADS = 20


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


with sinks.Sink() as sink, Suite(relayhost=sink.place) as suite:
    sent, acknowledged, refused, done = [], [], [], threading.Event()

    def client(name):
        n = 0
        while not done.is_set():
            n += 1
            recipient = f"{name}-{n}@example.net"  # each once only, whatever is answered
            sent.append(recipient)
            try:
                with smtplib.SMTP("127.0.0.1", suite.port, "client.example", timeout=120) as session:
                    session.sendmail("from@example.org", [recipient], "Subject: x\n\nx\n")
                acknowledged.append(recipient)
            except (smtplib.SMTPException, OSError) as error:
                refused.append(f"{recipient}: {error}")

    def wait_for_mail(count):
        before = len(acknowledged)
        ports.wait_until(lambda: len(acknowledged) >= before + count, 120, "mail taken")

    clients = [threading.Thread(target=client, args=(f"c{i}",), daemon=True) for i in range(3)]
    for thread in clients:
        thread.start()
    wait_for_mail(10)
    at_first = descriptors(suite.master_pid)
    for generation in range(RELOADS):
        suite.reload()
        if generation % 4 != 3:  # now and then the next one comes at once
            wait_for_mail(3)
    done.set()
    for thread in clients:
        thread.join()
    suite.wait_empty(120)
    got = [recipient for message in sink.messages for recipient in message.recipients]
    expect_equal(refused, [], f"refused, of {len(sent)}")
    expect_equal(sorted(got), sorted(acknowledged), "delivered")
    expect_equal([line for line in suite.lines() if "killed by signal" in line], [], "killed")

    # Predecessors go when their work is done; what is left has as many descriptors as at the start.
    ports.wait_until(lambda: len(suite.pids("qmgr")) == 1, 60, "a single qmgr")
    ports.wait_until(lambda: descriptors(suite.master_pid) <= at_first + 4, 60,
                     f"master with {at_first} descriptors again")
    for program in ("qmgr", "smtpd", "smtp"):
        for pid in suite.pids(program):
            expect(descriptors(pid) < 60, f"{program} has {descriptors(pid)} descriptors")

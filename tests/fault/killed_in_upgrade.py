# SPDX-License-Identifier: MIT
"""kill -9 of everything at some moment of an upgrade, while mail flows: the next start finds all mail, and
an upgrade can be made again."""
import random
import smtplib
import subprocess
import threading
import time

import ports
import procs
import sinks
import suite as postrider
from suite import Suite, expect

ROUNDS = 5
dice = random.Random(3)

with sinks.Sink() as sink, Suite(relayhost=sink.place, minimal_backoff_time="1s",
                                 maximal_backoff_time="1s") as suite:
    acknowledged, done = set(), threading.Event()

    def send(name):
        n = 0
        while not done.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", suite.port, "client.example", timeout=60) as session:
                    while not done.is_set():
                        n += 1
                        session.sendmail("", [f"{name}-{n}@example.net"], "Subject: x\n\nx\n")
                        acknowledged.add(f"{name}-{n}@example.net")
            except (smtplib.SMTPException, OSError):
                time.sleep(0.01)  # nobody there

    threads = [threading.Thread(target=send, args=(f"c{i}",), daemon=True) for i in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(ROUNDS):
        before = len(acknowledged)
        ports.wait_until(lambda: len(acknowledged) > before + 10, 60, "mail")
        with subprocess.Popen([postrider.POSTRIDER, "-c", suite.config, "upgrade"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as upgrade:
            time.sleep(dice.uniform(0, 0.3))  # anywhere in it
            procs.wait_gone(procs.kill_tree(suite.master_pid))
            upgrade.wait(120)
        suite.start()
    suite.cli("upgrade")
    before = len(acknowledged)
    ports.wait_until(lambda: len(acknowledged) > before + 10, 60, "mail after all that")
    done.set()
    for thread in threads:
        thread.join()

    def delivered():
        return {r for m in list(sink.messages) for r in m.recipients}

    ports.wait_until(lambda: acknowledged <= delivered(), 60, "the rest")
    suite.wait_empty(60)
    print(f"{len(acknowledged)} acknowledged and delivered, {ROUNDS} kills")

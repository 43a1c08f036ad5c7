# SPDX-License-Identifier: MIT
"""kill -9 of everything at some moment of an upgrade, while mail flows: the next start finds all mail, and
an upgrade can be made again."""
import random
import subprocess
import time

import ports
import procs
import sinks
import suite as postrider
from senders import Senders
from suite import Suite, expect

ROUNDS = 5
dice = random.Random(3)

with sinks.Sink() as sink, Suite(relayhost=sink.place, minimal_backoff_time="1s",
                                 maximal_backoff_time="1s") as suite:
    clients = Senders(suite.port, 3)
    for _ in range(ROUNDS):
        clients.wait_for(10)
        with subprocess.Popen([postrider.POSTRIDER, "-c", suite.config, "upgrade"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as upgrade:
            time.sleep(dice.uniform(0, 0.3))  # anywhere in it
            procs.wait_gone(procs.kill_tree(suite.master_pid))
            upgrade.wait(120)
        suite.start()
    suite.cli("upgrade")
    clients.wait_for(10, "mail after all that")
    clients.end()
    acknowledged = clients.acknowledged

    def delivered():
        return {r for m in list(sink.messages) for r in m.recipients}

    ports.wait_until(lambda: acknowledged <= delivered(), 60, "the rest")
    suite.wait_empty(60)
    print(f"{len(acknowledged)} acknowledged and delivered, {ROUNDS} kills")

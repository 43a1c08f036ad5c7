# SPDX-License-Identifier: MIT
"""An operator holds, releases, requeues, retries and deletes whatever there is, again and again, while
it is accepted, delivered, deferred and moved to files. Each message is delivered or deleted, once: never
both reported, never half, never lost."""
import collections
import random
import re
import subprocess
import threading

import ports
import sinks
import suite as postrider
from suite import Suite, expect, expect_equal

ROUNDS, MESSAGES = 60, 400
ACTIONS = (["hold", "ALL"], ["release", "ALL"], ["requeue", "ALL"], ["retry", "ALL"], ["flush", "ALL"],
           ["delete", "--recipient", "gone@example.net"])
dice = random.Random(7)
tries = collections.Counter()


def sometimes(session, line):
    """Every recipient but for the first try of some."""
    name = sinks.address(line)
    tries[name] += 1
    return "450 4.2.1 not now" if tries[name] == 1 and re.search(r"[0-4]@", name) else None


with sinks.Sink({"RCPT": sometimes}) as sink, \
        Suite(relayhost=sink.place, minimal_backoff_time="1s", maximal_backoff_time="1s",
              journal_residence_time="1s", journal_segment_size="1048576") as suite:
    ids, doomed, done = {}, set(), threading.Event()

    def send():
        for i in range(MESSAGES):
            # Some are in reach of the deletion by recipient.
            name = "gone@example.net" if i % 10 == 0 else f"m{i}@example.net"
            ids[suite.send("from@example.org", [name], f"Subject: {i}\n\nbody {i}\n")] = i
        done.set()

    thread = threading.Thread(target=send)
    thread.start()
    rounds = 0
    while not done.is_set() or rounds < ROUNDS:
        waiting = [m["queue_id"] for m in suite.queue()] if rounds % 5 == 0 else []
        action = dice.choice(ACTIONS)
        suite.cli(*action, check=False)
        if waiting:
            chosen = dice.sample(waiting, min(3, len(waiting)))
            doomed.update(chosen)
            suite.cli("delete", *chosen, check=False)
        rounds += 1
    thread.join()
    suite.cli("release", "ALL", check=False)
    for _ in range(100):
        suite.cli("retry", "ALL", check=False)
        if not suite.queue():
            break
    suite.wait_empty(60)

    text = "\n".join(suite.lines())
    sent = collections.Counter(re.findall(r"(\S+): to=<[^>]*>.*status=sent", text))
    removed = collections.Counter(re.findall(r" ([0-9A-Za-z]{12}): removed", text))
    bodies = collections.Counter(m.body for m in sink.messages)
    for queue_id, i in ids.items():
        arrived = bodies[f"body {i}\r\n".encode()]
        expect(arrived <= 1, f"{queue_id} was delivered {arrived} times")
        expect(arrived == 1 or queue_id in doomed or i % 10 == 0, f"{queue_id} is lost")
        expect(removed[queue_id] == 1, f"{queue_id} was removed {removed[queue_id]} times")
        expect(sent[queue_id] == arrived, f"{queue_id}: sent {sent[queue_id]} times by the log, {arrived} by the sink")
    spool = suite.dir / "spool"
    ports.wait_until(lambda: not [p for d in ("incoming", "deferred", "hold") for p in (spool / d).rglob("*")
                                  if p.is_file()], 30, "no file left")
    print(f"{rounds} rounds, {len(ids)} messages: {sum(bodies.values())} delivered, the rest "
          "deleted")

# SPDX-License-Identifier: MIT
"""A worker can spoil the listening socket that it shares with master and its siblings. master opens another, ends
the processes that hold the old one, says so, and holds their successors back when it happens again."""
import os
import re
import signal

import procs
from echo_suite import EchoSuite
from ports import free_port, wait_until

port = free_port()
SPOILED = r"was (?:shut down|made to block)"
with EchoSuite(f"127.0.0.1:{port} inet n - n - - echo_worker",
               "door unix n - n - 2 echo_worker",
               "resident unix n - n 60 1 echo_worker",
               "other unix n - n 60 1 echo_worker") as suite:
    other = suite.greeting("public/other")["pid"]

    def opens(place):
        """The pid of who serves there by now."""
        def greeted():
            try:
                return int(suite.greeting(place)["pid"])
            except (ConnectionError, FileNotFoundError):
                return None
        return wait_until(greeted, what=f"somebody at {place}")

    def spoil(client, words):
        told = suite.count_log(SPOILED)
        client.tell(words)
        suite.wait_log(SPOILED, count=told + 1)

    # Found by itself, and at a death: "crash" is one.
    for place, words, harm in ((port, "shut", "shut down"), (port, "part\ncrash", "shut down"),
                               (port, "block\ncrash", "made to block"), ("public/door", "shut", "shut down"),
                               ("public/resident", "shut\ncrash", "shut down")):
        with suite.connect(place) as client:
            spoil(client, words)
            wait_until(lambda: not procs.alive(client.pid), what=f"the end of {client.pid}")
        assert opens(place) != client.pid
        name = place if isinstance(place, str) else f"127.0.0.1:{place}"
        suite.wait_log(rf"error: service \S+ misbehaves: {name} was {harm}, by process {client.pid}; it is opened anew")

    # Which of several it was is not known: all are named, and none stays.
    with suite.connect("public/door") as one:
        one.ask("busy")
        os.kill(one.pid, signal.SIGSTOP)  # so that the next client is not its
        with suite.connect("public/door") as two:
            assert one.pid != two.pid
            os.kill(one.pid, signal.SIGCONT)
            spoil(two, "shut")
    both = sorted((one.pid, two.pid))
    said = re.findall(r"was shut down, by (process \d+(?: or process \d+)*)", suite.text())[-1]
    assert sorted(map(int, re.findall(r"\d+", said))) == both, said
    wait_until(lambda: not any(map(procs.alive, both)), what="their end")
    assert opens("public/door") not in both

    # Again and again: there are pauses by now.
    while not suite.count_log(r"is throttled: its processes die at once"):
        opens(port)
        with suite.connect(port) as client:
            spoil(client, "shut\ncrash")
    opens(port)
    # The other services never noticed.
    assert suite.greeting("public/other")["pid"] == other

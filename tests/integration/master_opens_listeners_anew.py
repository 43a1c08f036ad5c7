# SPDX-License-Identifier: MIT
"""A worker can shut down the listening socket that it shares with master and its siblings. master opens another,
ends the processes that hold the old one, says so, and holds their successors back when it happens again."""
import os
import re
import signal

import procs
from echo_suite import EchoSuite
from ports import free_port, wait_until

port = free_port()
with EchoSuite(f"127.0.0.1:{port} inet n - n - - echo_worker",
               "door unix n - n - 2 echo_worker",
               "resident unix n - n 60 1 echo_worker") as suite:

    def opens(place):
        """The pid of who serves there by now."""
        def greeted():
            try:
                return int(suite.greeting(place)["pid"])
            except (ConnectionError, FileNotFoundError):
                return None
        return wait_until(greeted, what=f"somebody at {place}")

    for place, name in ((port, f"127.0.0.1:{port}"), ("public/door", "public/door"),
                        ("public/resident", "public/resident")):
        for word in ("shut", "part") if place == port else ("shut",):
            told = suite.count_log("was shut down")
            pid = opens(place)
            with suite.connect(place) as client:
                assert client.pid == pid
                client.tell(word)
                suite.wait_log("was shut down", count=told + 1)
            wait_until(lambda: not procs.alive(pid), what=f"the end of {pid}")
            assert opens(place) != pid
        suite.wait_log(rf"error: service \S+ misbehaves: {name} was shut down, by process {pid}; opened anew")

    # Which of several it was is not known: all are named, and none stays.
    with suite.connect("public/door") as one:
        one.ask("busy")
        os.kill(one.pid, signal.SIGSTOP)  # so that the next client is not its
        with suite.connect("public/door") as two:
            assert one.pid != two.pid
            os.kill(one.pid, signal.SIGCONT)
            told = suite.count_log("was shut down")
            two.tell("shut")
            suite.wait_log("was shut down", count=told + 1)
            both = sorted((one.pid, two.pid))
    said = re.findall(r"was shut down, by (process \d+(?: or process \d+)*)", suite.text())[-1]
    assert sorted(map(int, re.findall(r"\d+", said))) == both, said
    wait_until(lambda: not any(map(procs.alive, both)), what="their end")
    assert opens("public/door") not in both

    resident = suite.greeting("public/resident")["pid"]
    # Again and again: there are pauses by now.
    for _ in range(3):
        with suite.connect(port) as client:
            told = suite.count_log("was shut down")
            client.tell("shut")
            suite.wait_log("was shut down", count=told + 1)
        opens(port)
    suite.wait_log(r"is throttled: its processes die at once")
    # The other services never noticed.
    assert suite.greeting("public/resident")["pid"] == resident

# SPDX-License-Identifier: MIT
"""A worker that is killed is replaced; its siblings and its socket are not touched by that."""
import os
import signal

import procs
from echo_suite import EchoSuite
from ports import free_port, wait_until

port = free_port()
with EchoSuite(f"127.0.0.1:{port} inet n - n - - echo_worker",
               "resident unix n - n 60 1 echo_worker") as suite:
    resident = wait_until(suite.workers, what="the resident")[0]

    # On demand: the next client finds a fresh one.
    first = suite.greeting(port)
    os.kill(int(first["pid"]), signal.SIGKILL)
    second = suite.greeting(port)
    assert second["pid"] != first["pid"], second
    suite.wait_log(rf"pid {first['pid']}: killed by signal 9")

    # A resident comes back without being asked, again and again.
    for _ in range(5):
        os.kill(resident, signal.SIGKILL)
        old = resident
        resident = wait_until(
            lambda: next((p for p in suite.workers()
                          if p not in (old, int(second["pid"]))), None), what="a new resident")
        assert int(suite.greeting("public/resident")["pid"]) == resident

    # A client in conversation with one worker does not notice another's death.
    with suite.connect(port) as client:
        os.kill(resident, signal.SIGKILL)
        wait_until(lambda: not procs.alive(resident))
        assert client.ask("still there") == "still there"

    # A crash is told from a kill.
    with suite.connect(port) as client:
        client.tell("crash")
        assert client.closed()
    suite.wait_log(r"killed by signal 6 \(SIGABRT\)")
    suite.greeting(port)

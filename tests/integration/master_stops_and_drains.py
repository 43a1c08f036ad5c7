# SPDX-License-Identifier: MIT
"""Stop ends everything, also what hangs; only one master runs; workers end when master is killed, and
a new master takes over their places."""
import os
import signal

import procs
from echo_suite import EchoSuite
from ports import free_port, wait_until

port = free_port()
with EchoSuite(f"127.0.0.1:{port} inet n - n - - echo_worker",
               "hangs unix n - n - - echo_worker", "resident unix n - n 60 1 echo_worker") as suite:
    # A second master is refused and disturbs nothing.
    done = suite.master(check=False)
    assert done.returncode == 1 and f"process {suite.pid}" in done.stderr, done
    assert suite.greeting(port)

    # kill -9 of master: workers see the end of the lifeline; a new master can bind at once.
    with suite.connect(port) as client:
        workers = suite.workers()
        assert client.pid in workers
        os.kill(suite.pid, signal.SIGKILL)
        suite.start()
        assert suite.greeting(port)["pid"] != str(client.pid)
        procs.wait_gone(workers, 30)

    # Stop, with one client in conversation and one worker that does not listen any more.
    with suite.connect(port) as client, suite.connect("public/hangs") as stuck:
        stuck.tell("hang")
        pids = procs.tree(suite.pid)
        assert stuck.pid in pids and client.pid in pids
        suite.stop()
        assert client.closed()
    assert not suite.running()
    assert not (suite.queue / "public/hangs").exists()
    assert not list((suite.queue / "private").iterdir())
    suite.wait_log(rf"pid {stuck.pid}: killed by signal 9")

    # And again from the start.
    suite.start()
    assert suite.greeting(port)
    assert wait_until(suite.workers)

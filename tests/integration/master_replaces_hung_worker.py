# SPDX-License-Identifier: MIT
"""A worker that stands still, stopped by a signal or in an endless loop, is killed and replaced;
its clients' connections end, and the next client is served."""
import os
import signal

import procs
from echo_suite import EchoSuite
from ports import free_port, wait_until

port = free_port()
with EchoSuite(f"127.0.0.1:{port} inet n - n - 1 echo_worker", daemon_timeout="1s") as suite:
    # In its own loop: it notices by itself.
    with suite.connect(port) as client:
        hung = int(suite.workers()[0])
        client.tell("hang")
        wait_until(lambda: not procs.alive(hung), 60, "the end of the looping worker")
        assert client.closed()
    assert int(suite.greeting(port)["pid"]) != hung

    # Stopped: master notices its silence, with the monotonic clock, and kills it.
    stopped = int(suite.workers()[0])
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: not procs.alive(stopped), 60, "the end of the stopped worker")
    suite.wait_log(rf"{stopped}.*hang|{stopped}.*no sign of life|{stopped}.*killed by signal 9")
    assert int(suite.greeting(port)["pid"]) != stopped

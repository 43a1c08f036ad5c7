# SPDX-License-Identifier: MIT
"""A worker that has been idle for max_idle retires; one that stands still for longer than daemon_timeout
is ended.

# shows: max_idle daemon_timeout
"""
from echo_suite import EchoSuite
from ports import wait_until

with EchoSuite("idle unix n - n - - echo_worker -o max_idle=1s",
               "stuck unix n - n - - echo_worker -o daemon_timeout=2s",
               "other unix n - n - - echo_worker") as suite:
    other = suite.greeting("public/other")["pid"]
    pid = int(suite.greeting("public/idle")["pid"])
    wait_until(lambda: pid not in suite.workers(), what="the end of an idle worker")
    assert suite.count_log("warning: service idle") == 0, suite.text()

    with suite.connect("public/stuck") as client:
        stuck = client.pid
        client.socket.sendall(b"hang\n")
        wait_until(lambda: stuck not in suite.workers(), what="the end of a worker that hangs")
    assert int(suite.greeting("public/stuck")["pid"]) != stuck
    assert suite.greeting("public/other")["pid"] == other

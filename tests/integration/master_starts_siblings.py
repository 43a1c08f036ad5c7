# SPDX-License-Identifier: MIT
"""A busy worker gets a sibling when the next client comes, up to the process limit; at the limit the
busy ones go on accepting. Idle workers retire."""
from echo_suite import EchoSuite
from ports import wait_until

with EchoSuite("echo unix n - n - 2 echo_worker", "idle unix n - n - - echo_worker -o max_idle=1s") as suite:
    with suite.connect("public/echo") as first:
        assert suite.greeting("public/echo")["pid"] == str(first.pid)
        first.ask("busy")

        def sibling():
            client = suite.connect("public/echo")
            if client.pid != first.pid:
                return client
            client.socket.close()
            return None

        second = wait_until(sibling, what="a sibling")
        with second:
            second.ask("busy")
            # The limit is reached: all further clients are served by these two.
            with_both = {suite.connect("public/echo").pid for _ in range(50)}
            assert with_both <= {first.pid, second.pid}, with_both
            assert set(suite.workers()) == {first.pid, second.pid}
            second.ask("free")

    pid = int(suite.greeting("public/idle")["pid"])
    wait_until(lambda: pid not in suite.workers(), what="the retirement of an idle worker")
    assert int(suite.greeting("public/idle")["pid"]) != pid
    assert suite.count_log("warning: service idle") == 0, suite.text()

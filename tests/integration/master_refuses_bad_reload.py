# SPDX-License-Identifier: MIT
"""What is wrong in main.cf or master.cf is said with file and line; the running suite stays as it is."""
from echo_suite import EchoSuite
from ports import free_port

port, taken = free_port(), free_port()
GOOD = f"127.0.0.1:{port} inet n - n - - echo_worker"
with EchoSuite(GOOD) as suite:
    pid = suite.greeting(port)["pid"]

    def refused(*services, expect, **settings):
        old = dict(suite.settings)
        suite.services(*services)
        suite.configure(**settings)
        suite.hang_up(expected="reload refused: the running configuration is kept")
        suite.wait_log(expect)
        assert suite.greeting(port) == {"pid": pid, "origin": "first.example",
                                        "listener": f"127.0.0.1:{port}"}
        suite.settings = old
        suite.configure()

    refused(GOOD, "nonsense", expect=r"master\.cf:2: ")
    refused(GOOD, "x fifo n - n - - echo_worker", expect=r"master\.cf:2: .*fifo")
    refused("", expect="no service is enabled")
    refused(GOOD, expect=r"main\.cf:\d+: .*max_idle", max_idle="soon")
    refused(GOOD, expect="needs stop and start", queue_directory=suite.top / "elsewhere")
    with __import__("socket").create_server(("127.0.0.1", taken)):
        refused(GOOD, f"127.0.0.1:{taken} inet n - n - - echo_worker",
                expect=rf"master\.cf:2: .*{taken}.*in use")
    (suite.config / "master.cf").unlink()
    suite.hang_up(expected="reload refused: the running configuration is kept")
    assert suite.greeting(port)["pid"] == pid

    # And a good one is taken after all that.
    suite.services(GOOD)
    suite.configure(myorigin="second.example")
    suite.hang_up()
    with suite.connect(port) as client:
        assert client.greeting["origin"] == "second.example", client.greeting

# A start with the same mistakes fails at once, says why, and leaves nothing running.
suite = EchoSuite(GOOD, "nonsense")
done = suite.master(check=False)
assert done.returncode == 1 and "master.cf:2: " in done.stderr, done
suite.services(GOOD, f"127.0.0.1:{taken} inet n - n - - echo_worker")
with __import__("socket").create_server(("127.0.0.1", taken)):
    done = suite.master(check=False)
    assert done.returncode == 1 and str(taken) in done.stderr, done
assert not suite.running()
suite.end(failed=False)

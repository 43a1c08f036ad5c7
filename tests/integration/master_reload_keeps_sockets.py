# SPDX-License-Identifier: MIT
"""A reload brings the new configuration to new clients, closes no listening socket, and lets old
clients finish with the process that they have."""
import socket
import threading

import procs
from echo_suite import EchoSuite
from ports import free_port, wait_until

port, other_port = free_port(), free_port()
INET = f"127.0.0.1:{port} inet n - n - - echo_worker"
RESIDENT = "resident unix n - n 60 1 echo_worker -o mail_name=resident"
with EchoSuite(INET, RESIDENT, "old unix n - n - - echo_worker") as suite:
    resident = suite.greeting("public/resident")["pid"]
    with suite.connect(port) as before, suite.connect("public/old") as removed:
        # Clients that never stop coming must not see a refused connection.
        refused, greeted, done = [], [], threading.Event()

        def knock():
            while not done.is_set():
                try:
                    greeted.append(suite.greeting(port)["origin"])
                except (OSError, ConnectionError) as error:
                    refused.append(error)

        knocker = threading.Thread(target=knock, daemon=True)
        knocker.start()
        suite.configure(myorigin="second.example")
        suite.services(INET, RESIDENT, f"127.0.0.1:{other_port} inet n - n - - echo_worker")
        suite.hang_up()
        wait_until(lambda: "second.example" in greeted, what="the new configuration")
        for _ in range(20):
            suite.hang_up()
        done.set()
        knocker.join()
        assert not refused, refused[:5]

        # The old client still has its process.
        assert before.ask("hello") == "hello"
        assert procs.alive(before.pid)
        assert removed.greeting["origin"] == "first.example"
        # The removed service is gone, the new one serves.
        try:
            suite.greeting("public/old")
            raise AssertionError("a service that master.cf no longer has took a client")
        except (FileNotFoundError, ConnectionRefusedError):
            pass
        assert suite.greeting(other_port)["origin"] == "second.example"
        # One that applies configurations in place was not replaced.
        again = suite.greeting("public/resident")
        assert again == {"pid": resident, "origin": "second.example", "listener": "public/resident"}
    wait_until(lambda: not procs.alive(before.pid), what="the end of the old worker")

    # Another command line needs another process, also for a resident.
    suite.services(INET, RESIDENT + " -o myorigin=third.example")
    suite.hang_up()
    wait_until(lambda: suite.greeting("public/resident")["origin"] == "third.example")
    # Neither master nor anyone else has collected descriptors.
    files = procs.open_files(suite.pid)
    for _ in range(10):
        suite.hang_up()
    wait_until(lambda: procs.open_files(suite.pid) <= files, what="descriptors closed again")
    assert suite.running()
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        pass

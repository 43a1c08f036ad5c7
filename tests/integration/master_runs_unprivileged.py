# SPDX-License-Identifier: MIT
"""An ordinary user runs the whole suite: columns that need root have no effect, all else works."""
import os
import re
import subprocess

import suite as _suite
from echo_suite import MASTER, EchoSuite
from ports import free_port, wait_until

USER = 65534 if os.geteuid() == 0 else None
try:
    subprocess.run([MASTER, "-h"], capture_output=True, check=True, user=USER)
except PermissionError:
    _suite.skip("the build directory is closed to other users")

port = free_port()
with EchoSuite(f"127.0.0.1:{port} inet n - n - - echo_worker", "jailed unix - - y - - echo_worker",
               "resident unix n - n 60 1 echo_worker", user=USER, mail_owner="no-such-user") as suite:
    pid = int(suite.greeting(port)["pid"])
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        uids = re.search(r"^Uid:\s*(.*)$", f.read(), re.M).group(1).split()
    assert uids == [str(USER or os.geteuid())] * 4, uids
    assert suite.greeting("private/jailed")
    resident = int(suite.greeting("public/resident")["pid"])
    suite.configure(myorigin="second.example")
    suite.hang_up()
    wait_until(lambda: suite.greeting(port)["origin"] == "second.example")
    wait_until(lambda: suite.greeting("public/resident")["pid"] != str(resident))

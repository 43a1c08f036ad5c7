# SPDX-License-Identifier: MIT
"""Started by root, workers run as mail_owner, without a way back, and in the queue directory where the
chroot column says so."""
import os
import pwd
import re

import ports
import suite as _suite
from echo_suite import EchoSuite

if os.geteuid() != 0:
    _suite.skip("needs root")

os.environ["ASAN_OPTIONS"] += ":detect_leaks=0"  # LeakSanitizer needs /proc, a chroot has none
nobody = pwd.getpwnam("nobody")


def status(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return re.search(rf"^{name}:\s*(.*)$", f.read(), re.M).group(1).split()


with EchoSuite("plain unix n - n - - echo_worker", "jailed unix n - y - - echo_worker",
               "root unix n n n - - echo_worker") as suite:
    for name in ("plain", "jailed"):
        pid = int(suite.greeting(f"public/{name}")["pid"])
        assert status(pid, "Uid") == [str(nobody.pw_uid)] * 4
        assert status(pid, "Gid") == [str(nobody.pw_gid)] * 4
        assert status(pid, "Groups") == [str(nobody.pw_gid)]
        assert status(pid, "NoNewPrivs") == ["1"]
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert status(pid, capabilities) == ["0" * 16], capabilities
        root = os.readlink(f"/proc/{pid}/root")
        assert root == (str(suite.queue) if name == "jailed" else "/"), root
        with open(f"/proc/{pid}/limits", encoding="ascii") as f:
            assert re.search(r"Max core file size\s+0\s+0", f.read())
    assert status(int(suite.greeting("public/root")["pid"]), "Uid")[0] == "0"
    assert os.stat(suite.queue / "private").st_mode & 0o777 == 0o710
    assert os.stat(suite.queue / "private").st_uid == nobody.pw_uid
    assert os.stat(suite.queue / "pid").st_uid == 0
    # A reload works for a worker that cannot read the configuration any more: it makes room.
    suite.configure(myorigin="second.example")
    suite.hang_up()
    ports.wait_until(lambda: suite.greeting("public/jailed")["origin"] == "second.example",
                     what="a worker that has read the new configuration")

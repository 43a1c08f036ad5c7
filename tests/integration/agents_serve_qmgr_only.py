# SPDX-License-Identifier: MIT
"""smtp, lmtp and bounce look at who connects: another user than qmgr's gets nothing, and mail goes on."""
import os
import subprocess
import sys

import sinks
from suite import Suite, expect_equal, skip

if os.geteuid() != 0:
    skip("root is needed to be somebody else")
CLIENT = """
import os, socket, sys
os.setgid(65533)
os.setuid(65533)
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    s.settimeout(20)
    print(len(s.recv(1)))
"""
with sinks.Sink() as sink, Suite(relayhost=sink.place) as suite:
    private = suite.dir / "spool/private"
    for path in (suite.dir, suite.dir / "spool", private):
        path.chmod(0o755)
    for name in ("smtp", "lmtp", "bounce"):
        (private / name).chmod(0o666)
        done = subprocess.run([sys.executable, "-c", CLIENT, private / name], capture_output=True,
                              text=True, check=True)
        expect_equal(done.stdout.strip(), "0", f"what {name} says to a stranger")
        suite.wait_log(rf"postrider/{name}\[\d+\]: warning: .*refused a client of uid 65533")
    suite.send("from@example.org", ["to@example.net"])
    sink.wait(1)

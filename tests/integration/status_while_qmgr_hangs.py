# SPDX-License-Identifier: MIT
"""`postrider status` shows what master knows also when qmgr does not answer, and says that."""
import os
import signal
import subprocess

from suite import POSTRIDER, Suite, expect, expect_equal

with Suite() as suite:
    pid = suite.pids("qmgr")[0]
    os.kill(pid, signal.SIGSTOP)
    try:  # well below the minute that commands give qmgr
        done = subprocess.run([POSTRIDER, "-c", suite.config, "status"], capture_output=True, text=True, check=False,
                              timeout=45)
    finally:
        os.kill(pid, signal.SIGCONT)
    expect_equal(done.returncode, 69, done)
    expect("qmgr             serving" in done.stdout, done.stdout)
    expect("Queue: qmgr does not answer" in done.stdout, done.stdout)

# SPDX-License-Identifier: MIT
"""tcp_windowsize: what master listens on, what it accepts there, and what clients connect with.

# shows: tcp_windowsize
"""
import re
import shutil
import smtplib
import subprocess

import sinks
from ports import wait_until
from suite import Suite, expect, expect_equal, skip

if shutil.which("ss") is None:
    skip("ss is not installed")
WINDOW = 12000


def buffers(*which):
    """The sizes of receive buffers that ss tells."""
    done = subprocess.run(["ss", "-Htnm", *which], capture_output=True, text=True, check=True)
    return [int(size) for size in re.findall(r"skmem:\(r\d+,rb(\d+)", done.stdout)]


def sizes(suite, sink):
    with smtplib.SMTP("127.0.0.1", suite.port) as client:
        client.ehlo()
        suite.send("", ["to@example.net"])
        wait_until(lambda: sink.sessions, 20, "a client")
        return [buffers("-l", f"sport = :{suite.port}"),
                buffers(f"sport = :{suite.port} and dport = :{client.sock.getsockname()[1]}"),
                buffers(f"dport = :{sink.port} and src 127.0.0.1")]


with sinks.Sink({"MAIL": sinks.STALL}) as sink, \
        Suite(relayhost=sink.place, tcp_windowsize=WINDOW) as suite:
    # Linux doubles what it is told.
    expect_equal(sizes(suite, sink), [[2 * WINDOW]] * 3, "listener, accepted, connected")
with sinks.Sink({"MAIL": sinks.STALL}) as sink, Suite(relayhost=sink.place) as suite:
    ours = sizes(suite, sink)
    expect(all(len(size) == 1 and size[0] > 2 * WINDOW for size in ours), f"the system's: {ours}")

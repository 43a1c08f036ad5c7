# SPDX-License-Identifier: MIT
"""A file system without inodes is full, whatever bytes it has left: 452 at MAIL, deliveries go on,
and mail is taken again when there are some."""
import os
import pathlib

import ports
import sinks
import small_disk
from suite import Suite, expect_equal, expect_match

with small_disk.mounted("size=512m,nr_inodes=2000") as directory, \
        sinks.Sink({"RCPT TO:<LATER@": "450 4.2.0 later"}) as sink, \
        Suite(relayhost=sink.place, minimal_backoff_time="1s", maximal_backoff_time="1s") as suite:
    kept = suite.send("a@example.org", ["later@example.net"])
    suite.wait_log(rf"{kept}: to=<later@example\.net>.*status=deferred")
    fillers = []
    try:
        while True:
            fillers.append(pathlib.Path(directory) / f"filler{len(fillers)}")
            fillers[-1].touch()
    except OSError:
        fillers.pop()
    space = os.statvfs(directory)
    expect_equal((space.f_ffree, space.f_bavail * space.f_frsize > 100 << 20), (0, True), "inodes, bytes")

    def answer():
        with suite.raw() as client:
            client.command("EHLO client.example")
            return client.command("MAIL FROM:<a@example.org>")

    ports.wait_until(lambda: answer().startswith("452 4.3.1"), 30, "452 at MAIL")
    expect_match(r"new mail is refused: insufficient system storage \(no inodes\)",
                 "\n".join(suite.lines()), "why")
    sink.script.clear()
    suite.wait_log(rf"{kept}: to=<later@example\.net>.*status=sent", seconds=30)
    for filler in fillers:
        filler.unlink()
    ports.wait_until(lambda: answer().startswith("250"), 30, "acceptance after inodes came back")
    last = suite.send("a@example.org", ["after@example.net"])
    suite.wait_log(rf"{last}: to=<after@example\.net>.*status=sent")
    suite.wait_empty(30)

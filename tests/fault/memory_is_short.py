# SPDX-License-Identifier: MIT
"""The suite in a control group with little memory: messages of 50 MB, four at a time, go through whole,
for their content is never held in memory, and nobody is killed for want of it."""
import hashlib
import os
import pathlib
import re
import socket
import threading

import ports
import procs
import sinks
from suite import Suite, expect, expect_equal, skip

os.environ["ASAN_OPTIONS"] += ":quarantine_size_mb=1:thread_local_quarantine_size_kb=16"
LIMIT = 160 << 20
LINE = b"y" * 70 + b"\r\n"
LINES = (50 << 20) // len(LINE)
TOP = pathlib.Path("/sys/fs/cgroup")


def make_group():
    """(directory, file of the limit, what tells of kills)."""
    for parent, limit, kills in ((TOP / "memory", "memory.limit_in_bytes", "memory.oom_control"),
                                 (TOP, "memory.max", "memory.events")):
        group = parent / f"postrider-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(LIMIT))
            return group, group / kills
        except OSError:
            group.rmdir()
    skip("no control group for memory may be made here")


class CountingSink(sinks.Sink):
    """Keeps no more of a message than its checksum."""

    def keep(self, message):
        message.data = hashlib.sha256(message.body).hexdigest().encode()
        super().keep(message)


def send(port, name, replies):
    with socket.create_connection(("127.0.0.1", port), timeout=120) as client, client.makefile("rb") as file:
        file.readline()
        for line in (b"HELO x", b"MAIL FROM:<>", b"RCPT TO:<%s@example.net>" % name.encode(), b"DATA"):
            client.sendall(line + b"\r\n")
            file.readline()
        client.sendall(b"Subject: large\r\n\r\n")
        piece = LINE * 4096
        for _ in range(LINES // 4096):
            client.sendall(piece)
        client.sendall(b".\r\n")
        replies[name] = file.readline()


group, kills = make_group()
try:
    with CountingSink() as sink, Suite(start=False, relayhost=sink.place, message_size_limit="100000000",
                                       minimal_backoff_time="1s", maximal_backoff_time="1s") as suite:
        suite.start()
        for pid in procs.tree(suite.master_pid):  # who is started from now on is in it as well
            (group / "cgroup.procs").write_text(str(pid))
        replies = {}
        threads = [threading.Thread(target=send, args=(suite.port, f"n{i}", replies)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expect(len(replies) == 4 and all(r.startswith((b"250", b"45")) for r in replies.values()), f"{replies}")
        taken = sorted(name for name, reply in replies.items() if reply.startswith(b"250"))
        expect(taken, "none was taken")
        sink.wait(len(taken), seconds=120)
        expect_equal(sorted(m.recipients[0].split("@")[0] for m in sink.messages), taken, "delivered")
        wanted = hashlib.sha256(LINE * (LINES // 4096 * 4096)).hexdigest().encode()
        expect(all(m.data == wanted for m in sink.messages), "as they were sent")
        killed = re.search(r"oom_kill (\d+)", kills.read_text())
        expect(killed is None or killed.group(1) == "0", f"killed for want of memory: {kills.read_text()}")
        largest = {procs.name_of(pid): procs.rss_kb(pid) // 1024 for pid in procs.tree(suite.master_pid)}
        print(f"{len(taken)} of 4 taken; MB held: {largest}")
        suite.wait_empty()
finally:
    ports.wait_until(lambda: not (group / "cgroup.procs").read_text().strip(), 30, "an empty group")
    group.rmdir()

# SPDX-License-Identifier: MIT
"""Queue ids that are none, given to every command of postrider that takes one: refused with a word, no
file is touched, nothing is selected by mistake, and no control byte reaches the terminal. And whoever
floods the control socket with requests, or with bytes, is bounded; mail goes on."""
import os
import re
import socket
import struct

import ports
import sinks
from suite import Suite, expect, expect_equal

ODD = ["", "-", "../../etc/passwd", "..", "/", ".", "4", "*", "all", "ALLX", "A" * 10_000, "4QvLh\n", "4Q\0"[:2],
       "\x1b[2J\x07", "\u00e4\u00f6\u00fc", "AAAAAAAAAAAA", "%s%s%s%n", "deferred/4/42", "$(id)", "'; ls"]
COMMANDS = (["why"], ["cat"], ["hold"], ["release"], ["requeue"], ["retry"], ["flush"], ["delete"])


def files(top):
    return sorted((str(p), p.stat().st_size) for p in top.rglob("*") if p.is_file() and "index" not in p.parts)


with sinks.Sink({"MAIL": "451 4.3.0 not now"}) as sink, \
        Suite(relayhost=sink.place, minimal_backoff_time="1h", maximal_backoff_time="1h",
              journal_residence_time="1s") as suite:
    one = suite.send("one@example.org", ["a@first.example"])
    two = suite.send("two@example.org", ["b\u00e4@second.example".replace("\u00e4", "")])
    suite.wait_log("status=deferred", count=2)
    ports.wait_until(lambda: all((suite.dir / f"spool/deferred/{i[-1]}/{i}").exists() for i in (one, two)), 20,
                     "their files")
    before = files(suite.dir / "spool")
    state = {m["queue_id"]: m["queue_name"] for m in suite.queue()}
    for command in COMMANDS:
        for odd in ODD:
            done = suite.cli(*command, odd, check=False)
            if command == ["why"] and "@" not in odd and done.returncode == 0:
                raise AssertionError(f"{command} {odd!r} was taken")
            expect(done.returncode != 0, f"{command} {odd!r}: {done}")
            expect(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.stdout + done.stderr),
                   f"{command} {odd!r} wrote {done.stdout + done.stderr!r}")
            expect(len(done.stdout + done.stderr) < 4000, f"{command}: a short word about it")
    expect_equal({m["queue_id"]: m["queue_name"] for m in suite.queue()}, state, "the queue")
    expect_equal(files(suite.dir / "spool"), before, "files")

    # --- qmgr's socket: frames that are none, lengths without end, hundreds of clients
    path = str(suite.dir / "spool/public/qmgr")
    if not os.path.exists(path):
        path = str(suite.dir / "spool/private/qmgr")
    clients = []
    for i in range(400):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        try:
            client.connect(path)
            client.sendall((struct.pack("<IHH", 0xffffffff, 1, 0), os.urandom(4096), b"", b"GET / HTTP/1.0\r\n\r\n")[i % 4])
        except OSError:
            pass
        clients.append(client)
    sink.script.clear()
    suite.send("three@example.org", ["c@third.example"])
    ports.wait_until(lambda: any("c@third.example" in m.recipients for m in sink.messages), 30, "mail beside the flood")
    for client in clients:
        client.close()
    suite.cli("flush", "ALL")
    suite.wait_empty()
    expect_equal(len(sink.messages), 3, "all of it delivered")

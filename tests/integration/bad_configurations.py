# SPDX-License-Identifier: MIT
"""Each kind of mistake in main.cf and master.cf, at a reload and at a cold start: a reload changes nothing
and says where the mistake is; a start fails, says the same, and leaves nothing running and no socket
open. What is only odd (an unknown name, a name twice) is said with its line, and is no hindrance. Large
files are read."""
import os
import re
import shutil
import socket

import ports
import procs
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match


def lines(text):
    return lambda path: path.write_text(path.read_text() + text)


def replace_by_directory(path):
    path.unlink()
    path.mkdir()


# What is done to the file, and what is said.
BAD = {
    "a line without =": ("main.cf", lines("this is nothing\n"), r"main\.cf:\d+: "),
    "no name": ("main.cf", lines("= value\n"), r"main\.cf:\d+: "),
    "a bad time": ("main.cf", lines("smtpd_timeout = soon\n"), r"main\.cf:\d+: .*smtpd_timeout"),
    "no unit of that name": ("main.cf", lines("smtpd_timeout = 5parsecs\n"), r"main\.cf:\d+: .*smtpd_timeout"),
    "a negative number": ("main.cf", lines("smtpd_recipient_limit = -1\n"), r"main\.cf:\d+: .*smtpd_recipient_limit"),
    "zero where that makes no sense": ("main.cf", lines("smtpd_hard_error_limit = 0\n"),
                                       r"main\.cf:\d+: .*smtpd_hard_error_limit"),
    "2^63": ("main.cf", lines(f"message_size_limit = {2**63}\n"), r"main\.cf:\d+: .*message_size_limit"),
    "2^64 + 1": ("main.cf", lines(f"qmgr_message_active_limit = {2**64 + 1}\n"),
                 r"main\.cf:\d+: .*qmgr_message_active_limit"),
    "neither yes nor no": ("main.cf", lines("soft_bounce = perhaps\n"), r"main\.cf:\d+: .*soft_bounce"),
    "a value that contains itself": ("main.cf", lines("relayhost = $relayhost\n"), r"main\.cf:\d+: "),
    "an open brace": ("main.cf", lines("relayhost = ${mynetworks?{x}\n"), r"main\.cf:\d+: "),
    "a byte that is none": ("main.cf", lines("relayhost = a\0b\n"), r"main\.cf:\d+: "),
    "main.cf is a directory": ("main.cf", replace_by_directory, r"main\.cf"),
    "main.cf is not there": ("main.cf", lambda path: path.unlink(), r"main\.cf"),
    "main.cf for all to write": ("main.cf", lambda path: path.chmod(0o666), r"main\.cf"),
    "too few columns": ("master.cf", lines("smtp2 unix - -\n"), r"master\.cf:\d+: "),
    "a kind of service that is none": ("master.cf", lines("x pipe - n n - - smtpd\n"), r"master\.cf:\d+: "),
    "a path as program": ("master.cf", lines("x unix - n n - - ../../bin/sh\n"), r"master\.cf:\d+: "),
    "a service twice": ("master.cf", lambda path: path.write_text(path.read_text() * 2), r"master\.cf:\d+: "),
    "a port that is none": ("master.cf", lines("127.0.0.1:99999 inet n - n - - smtpd\n"), r"master\.cf:\d+: "),
    "master.cf is not there": ("master.cf", lambda path: path.unlink(), r"master\.cf"),
    "master.cf is empty": ("master.cf", lambda path: path.write_text(""), r"master\.cf|service"),
}
ODD = {
    "an unknown name": ("main.cf", lines("smtpd_time_out = 3s\n"), r"main\.cf:\d+: .*smtpd_time_out"),
    "a name twice": ("main.cf", lines("myorigin = a.example\nmyorigin = b.example\n"), r"main\.cf:\d+: myorigin"),
    "one that a newer version may know": ("main.cf", lines("smtpd_teleport_limit = 3\n"),
                                          r"main\.cf:\d+: .*smtpd_teleport_limit.*no such parameter"),
    "a million lines": ("main.cf", lines("# a comment\n" * 1_000_000), None),
    "a million bytes in one value": ("main.cf", lines("long_one = " + "x" * 1_000_000 + "\nmyorigin = $myhostname\n"), None),
}

with sinks.Sink() as sink, Suite(relayhost=sink.place, smtpd_banner="$myhostname ESMTP old") as suite:
    good = suite.top / "good"
    shutil.copytree(suite.dir, good, ignore=shutil.ignore_patterns("spool", "data"))

    def restore():
        for name in ("main.cf", "master.cf"):
            path = suite.dir / name
            if path.is_dir():
                path.rmdir()
            shutil.copy(good / name, path)
            path.chmod(0o644)

    def children():
        return {p for p in procs.tree(suite.master_pid) if procs.name_of(p) == "qmgr"}

    before = children()
    for what, (name, change, says) in BAD.items():
        suite.configure(smtpd_banner="$myhostname ESMTP new")
        change(suite.dir / name)
        done = suite.cli("reload", check=False)
        said = done.stdout + done.stderr
        expect(done.returncode != 0, f"{what}: the reload was taken: {said}")
        expect_match(says, said, what)
        with RawClient(suite.port) as client:
            expect(client.greeting.endswith("old"), f"{what}: {client.greeting}")
        restore()
        suite.settings["smtpd_banner"] = "$myhostname ESMTP old"
    expect_equal(children(), before, "qmgr has not changed")
    for what, (name, change, says) in ODD.items():
        change(suite.dir / name)
        done = suite.cli("reload", timeout=60)
        if says:
            suite.wait_log(f"warning: .*{says}")
        ports.wait_until(suite.greets, 20, what)
        restore()
    suite.reload()
    suite.send("from@example.org", ["to@example.net"])
    sink.wait(1)
    suite.stop()

    # --- cold
    spool = suite.dir / "spool"
    left = sorted(str(p) for p in spool.rglob("*") if not p.is_socket() and "index" not in p.parts)
    for what, (name, change, says) in BAD.items():
        change(suite.dir / name)
        done = suite.cli("start", check=False)
        said = done.stdout + done.stderr
        expect(done.returncode != 0, f"{what}: it started: {said}")
        expect_match(says, said, what)
        expect(suite.master_by_file() is None or not procs.alive(suite.master_by_file()), f"{what}: master runs")
        with socket.socket() as probe:
            expect(probe.connect_ex(("127.0.0.1", suite.port)) != 0, f"{what}: the port is open")
        restore()
    expect_equal(sorted(str(p) for p in spool.rglob("*") if not p.is_socket() and "index" not in p.parts), left,
                 "what is in the queue directory")
    # A taken port, which is no mistake of a file: as a whole or not at all.
    port = ports.free_port()
    with (suite.dir / "master.cf").open("a") as master:
        master.write(f"127.0.0.1:{port} inet n - n - - smtpd\n")
    with socket.create_server(("127.0.0.1", port)):
        done = suite.cli("start", check=False)
        expect(done.returncode != 0 and str(port) in done.stdout + done.stderr, f"a taken port: {done}")
        expect(not suite.greets(), "the other port is not served either")
    restore()
    suite.start()
    suite.send("from@example.org", ["to@example.net"])
    sink.wait(2)

# SPDX-License-Identifier: MIT
"""`postrider upgrade` while mail flows: the process of master stays, every program is started anew from
daemon_directory, no connection is refused, sessions that were open go on, and what is acknowledged is
delivered. A program or a configuration that is no good changes nothing."""
import os
import pathlib
import threading

import ports
import procs
import sinks
import suite as postrider
from senders import Senders
from suite import RawClient, Suite, expect, expect_equal, expect_match

UPGRADES = 6


def programs(suite, mark):
    """A directory of programs that can be told from others by their environment."""
    directory = suite.top / f"programs-{mark}"
    directory.mkdir()
    for program in (postrider.BUILD / "libexec/postrider").iterdir():
        wrapper = directory / program.name
        wrapper.write_text(f'#!/bin/sh\nUPGRADE={mark} exec {program} "$@"\n')
        wrapper.chmod(0o755)
    return directory


def mark_of(pid):
    try:
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((e[8:].decode() for e in environment if e.startswith(b"UPGRADE=")), None)


with sinks.Sink() as sink, Suite(start=False, relayhost=sink.place, minimal_backoff_time="1s",
                                 maximal_backoff_time="1s", smtpd_client_connection_count_limit="0") as suite:
    suite.configure(daemon_directory=programs(suite, "0"))
    suite.start()
    master, log_size = suite.master_pid, 0
    refused, done = [], threading.Event()

    def knock():
        while not done.is_set():
            try:
                with RawClient(suite.port) as client:
                    if not client.greeting.startswith("220"):
                        refused.append(client.greeting)
            except OSError as error:
                refused.append(str(error))

    knocking = threading.Thread(target=knock, daemon=True)
    knocking.start()
    clients = Senders(suite.port, 3)
    old = suite.raw()
    old.command("EHLO client.example")
    expect_match("^250", old.command("MAIL FROM:<>"), "MAIL")
    for n in range(1, UPGRADES + 1):
        clients.wait_for(20)
        suite.configure(daemon_directory=programs(suite, str(n)))
        expect_match(f"generation {n + 1}$", suite.cli("upgrade").stdout.strip(), "what it says")
        expect_equal((suite.find_master(), mark_of(master)), (master, str(n)), "the process and the program")
        for name in ("qmgr", "smtpd"):
            ports.wait_until(lambda: str(n) in {mark_of(pid) for pid in suite.pids(name)}, 60, f"a new {name}")
    # Who was in a message when all that began ends it as if nothing had been.
    expect_match("^250", old.command("RCPT TO:<old@example.net>"), "RCPT")
    expect_match("^354", old.command("DATA"), "DATA")
    expect_match("^250", old.command("Subject: old\r\n\r\nold\r\n."), "the end of data")
    old.close()

    # What is no good is refused, and everything goes on.
    good = suite.settings["daemon_directory"]
    broken = programs(suite, "broken")
    (broken / "master").write_text("#!/bin/sh\nexit 1\n")
    main_cf, master_cf = suite.main_cf.read_text(), (suite.dir / "master.cf").read_text()
    for what, directory, service in (("no such program", suite.top / "nowhere", ""),
                                     ("a program that fails", broken, ""),
                                     ("a bad line", good, "nonsense\n")):
        suite.configure(daemon_directory=directory)
        (suite.dir / "master.cf").write_text(master_cf + service)  # which only master reads
        refusal = suite.cli("upgrade", check=False)
        expect(refusal.returncode != 0 and "stay as they are" in refusal.stderr, f"{what}: {refusal}")
        expect_equal(mark_of(master), str(UPGRADES), what)
        suite.settings["daemon_directory"] = good
        suite.main_cf.write_text(main_cf)
        (suite.dir / "master.cf").write_text(master_cf)
    clients.wait_for(20)
    done.set()
    knocking.join()
    clients.end()
    acknowledged = clients.acknowledged | {"old@example.net"}
    expect_equal(refused + clients.refused, [], "refused")

    def delivered():
        return [r for m in list(sink.messages) for r in m.recipients]

    ports.wait_until(lambda: acknowledged <= set(delivered()), 60, "the rest")
    twice = len(delivered()) - len(set(delivered()))
    expect_equal(twice, 0, "delivered twice")
    # The programs before leave when their clients have.
    newest = str(UPGRADES)
    ports.wait_until(lambda: {mark_of(p) for p in procs.tree(master) if mark_of(p)} == {newest}, 60,
                     "the end of older programs")
    files = procs.open_files(master)
    suite.cli("upgrade")
    ports.wait_until(lambda: procs.open_files(master) <= files + 8, 30, f"descriptors of master, {files}")
    suite.stop()
    expect(not procs.alive(master), "stop ends it")
    expect(not [p for p in os.listdir("/proc") if p.isdigit() and mark_of(int(p)) and
                str(suite.dir).encode() in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()], "nobody stayed behind")
    print(f"{len(acknowledged)} acknowledged and delivered through {UPGRADES} upgrades")

# SPDX-License-Identifier: MIT
"""kill -9 at the very places where a crash could lose or repeat mail, one after the other:

  * smtpd between the sync of a record and the announcement to qmgr (no 250 was said: at most one copy)
  * smtpd after its 250, with the announcement unread by qmgr (exactly one copy)
  * qmgr with the announcement unread, while smtpd holds the segment (exactly one copy)
  * smtp after the final dot, before the reply (in doubt: logged, tried again, one duplicate)
  * bounce between the sync of a report and its answer (exactly one report)
  * master (its children end by themselves; the next start is clean)

A program dies at a system call by means of a small library that is put in front of libc: each
program starts through a wrapper in a directory of its own.
"""
import json
import os
import signal
import smtplib
import subprocess

import ports
import procs
import sinks
import suite as postrider
from suite import Suite, expect, expect_equal

FATAL_SYNC = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
/* While the file that FATAL_SYNC names holds a letter, a successful sync is the last thing we do; the
   letter is taken. It is opened before main(): the sandbox would not let us. */
static int trap = -1;
__attribute__((constructor)) static void set_trap(void) {
  const char* name = getenv("FATAL_SYNC");
  if (name != NULL) trap = open(name, O_RDWR | O_CLOEXEC);
}
static int then_die(int result) {
  char letter;
  if (result == 0 && trap >= 0 && pread(trap, &letter, 1, 0) == 1 && ftruncate(trap, 0) == 0)
    raise(SIGKILL);
  return result;
}
int fdatasync(int fd) { return then_die(((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd)); }
"""


def trapped_programs(suite):
    """A daemon_directory whose smtpd and bounce die at their next sync when told so; returns how."""
    directory = suite.top / "programs"
    directory.mkdir()
    traps = suite.top / "traps"
    traps.mkdir()
    traps.chmod(0o755)
    (suite.top / "fatal_sync.c").write_text(FATAL_SYNC)
    library = suite.top / "fatal_sync.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, suite.top / "fatal_sync.c", "-ldl"], check=True)
    for program in (postrider.BUILD / "libexec/postrider").iterdir():
        if program.name not in ("smtpd", "bounce"):
            (directory / program.name).symlink_to(program)
            continue
        (traps / program.name).write_text("")
        (traps / program.name).chmod(0o666)
        wrapper = directory / program.name
        wrapper.write_text(f"#!/bin/sh\nexport ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0\n"
                           f"export LD_PRELOAD={library} FATAL_SYNC={traps}/{program.name}\n"
                           f'exec {program} "$@"\n')
        wrapper.chmod(0o755)
    suite.configure(daemon_directory=directory)
    return lambda name: (traps / name).write_text("x")


def copies(sink, subject):
    return sum(1 for m in sink.messages if m.sender and f"Subject: {subject}\r\n" in m.header + "\r\n")


def reports(sink):
    return [m for m in sink.messages if not m.sender]


def once(suite, sink, subjects):
    """Each of these is delivered, once, and then the queue is empty and clean."""
    ports.wait_until(lambda: all(copies(sink, s) for s in subjects), 60, f"the mails {subjects}")
    clean(suite)
    expect_equal([copies(sink, s) for s in subjects], [1] * len(subjects), "copies")


def clean(suite):
    def settled():
        queue = json.loads(suite.cli("status", "--json").stdout)["queue"]
        return not suite.queue() and queue["live_segments"] == queue["lent_segments"] and not any(
            path.is_file() for path in (suite.dir / "spool/incoming").rglob("*"))
    ports.wait_until(settled, 60, "an empty queue and no segment in use")


def kill(suite, name, sig=signal.SIGKILL):
    pids = suite.pids(name)
    expect(pids, f"no process of {name}")
    for pid in pids:
        os.kill(pid, sig)
    if sig == signal.SIGKILL:
        procs.wait_gone(pids)


def send(suite, subject, to="to@example.net"):
    return suite.send("from@example.org", [to], f"Subject: {subject}\n\nbody\n")


def smtpd_dies_before_it_announces(suite, sink, die_at_next_sync):
    send(suite, "before")
    die_at_next_sync("smtpd")
    try:
        send(suite, "synced")
        raise AssertionError("a 250 came from a dead smtpd")
    except (smtplib.SMTPServerDisconnected, ConnectionError):
        pass
    ports.wait_until(suite.greets, 20, "the next smtpd")
    once(suite, sink, ["before", "synced"])


def smtpd_dies_with_announcements_unread(suite, sink, _):
    send(suite, "first")
    kill(suite, "qmgr", signal.SIGSTOP)
    names = [f"unread{i}" for i in range(5)]
    for name in names:
        send(suite, name)
    kill(suite, "smtpd")
    kill(suite, "qmgr", signal.SIGCONT)
    once(suite, sink, names)


def qmgr_dies_with_announcements_unread(suite, sink, _):
    ports.wait_until(suite.greets, 20, "smtpd")
    send(suite, "second")
    kill(suite, "qmgr", signal.SIGSTOP)
    names = [f"unseen{i}" for i in range(5)]
    for name in names:
        send(suite, name)
    kill(suite, "qmgr")
    once(suite, sink, names)
    send(suite, "after qmgr")
    once(suite, sink, ["after qmgr"])


def smtp_dies_after_the_dot(suite, sink, _):
    def deadly(*_):
        del sink.script["dot"]
        kill(suite, "smtp")  # the peer takes the mail, and nobody reads that it did

    sink.script["dot"] = deadly
    name = send(suite, "doubt")
    suite.wait_log(rf"{name}: to=<to@example.net>, .*status=deferred \(delivery agent died before")
    ports.wait_until(lambda: copies(sink, "doubt") == 2, 60, "the second copy")
    clean(suite)
    expect_equal(copies(sink, "doubt"), 2, "copies of mail in doubt")


def bounce_dies_before_it_answers(suite, sink, die_at_next_sync):
    sink.script["RCPT TO:<bad"] = "550 5.1.1 nobody"
    die_at_next_sync("bounce")
    name = send(suite, "returned", "bad@example.net")
    ports.wait_until(lambda: (suite.top / "traps/bounce").read_text() == "", 30, "the death of bounce")
    ports.wait_until(lambda: reports(sink), 60, "the report")
    clean(suite)
    expect_equal(len(reports(sink)), 1, f"reports of {name}")
    send(suite, "returned too", "bad@example.net")
    ports.wait_until(lambda: len(reports(sink)) == 2, 60, "the report of the next bounce")
    clean(suite)


def master_dies(suite, sink, _):
    pids = procs.tree(suite.master_pid)
    os.kill(suite.master_pid, signal.SIGKILL)
    procs.wait_gone(pids, 30)
    suite.start()
    expect_equal(suite.queue(), [], "the queue after the death of master")
    send(suite, "after master")
    once(suite, sink, ["after master"])


with sinks.Sink() as the_sink, Suite(start=False, relayhost=the_sink.place, minimal_backoff_time="1s",
                                     maximal_backoff_time="1s") as the_suite:
    arm = trapped_programs(the_suite)
    the_suite.start()
    for scene in (smtpd_dies_before_it_announces, smtpd_dies_with_announcements_unread,
                  qmgr_dies_with_announcements_unread, smtp_dies_after_the_dot,
                  bounce_dies_before_it_answers, master_dies):
        print(scene.__name__, flush=True)
        scene(the_suite, the_sink, arm)

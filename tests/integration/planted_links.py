# SPDX-License-Identifier: MIT
"""Whoever may write where the suite writes plants links there, symbolic and hard ones, to a file that is
none of its business, in the place of sockets, of caches, of the files of the queue. A start may fail for
that; the file is never touched, nor is its owner changed."""
import os
import shutil
import stat
import subprocess

import ports
import procs
import sinks
from suite import POSTRIDER, Suite, expect, expect_equal

SECRET = "not for the mail system\n"


def facts(path):
    status = path.stat()
    return path.read_text(), status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def make():
    """A suite that has handled mail and is down, and its places by kind."""
    suite = Suite(start=False, relayhost=sink.place)
    suite.expected_trouble = True
    suite.start()
    suite.send("from@example.org", ["to@example.net"])
    suite.wait_empty()
    spool, data = suite.dir / "spool", suite.dir / "data"
    sockets = [p for p in spool.rglob("*") if p.is_socket()]
    suite.stop()
    kinds = {"sockets": sockets, "caches": [p for p in data.rglob("*") if p.is_file()],
             "index": [p for p in (spool / "index").rglob("*") if p.is_file()],
             "journal": [p for p in (spool / "journal").rglob("*") if p.is_file()],
             "locks": [p for p in [*spool.glob("*.lock"), *(spool / "pid").glob("*")] if p.is_file()]}
    return suite, kinds


with sinks.Sink() as sink:
    for kind in ("sockets", "caches", "index", "journal", "locks"):
        for plant in (os.symlink, os.link):
            suite, kinds = make()
            with suite:
                expect(kinds[kind], f"places of {kind}")
                victim = suite.top / "victim"
                victim.write_text(SECRET)
                victim.chmod(0o640)
                before = facts(victim)
                for place in kinds[kind]:
                    place.unlink(missing_ok=True)
                    plant(victim, place)
                start = subprocess.Popen([POSTRIDER, "-c", suite.config, "start"], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
                # It serves, or somebody has said why not.
                ports.wait_until(lambda: start.poll() is not None or
                                 any("fatal:" in line for line in suite.lines()), 60, "a start or a reason")
                served = start.poll() == 0 and suite.greets()
                if served:
                    suite.master_pid = suite.find_master()
                    suite.send("from@example.org", ["again@example.net"])
                    suite.wait_empty()
                    suite.stop()
                elif (master := suite.master_by_file()) is not None and procs.alive(master):
                    procs.wait_gone(procs.kill_tree(master))
                start.kill()
                start.wait()
                print(f"{plant.__name__} for {kind}: {'served' if served else 'refused'}")
                expect_equal(facts(victim), before, f"the victim of {plant.__name__} for {kind}")

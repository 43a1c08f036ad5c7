# SPDX-License-Identifier: MIT
"""Queues that earlier builds left behind, with mail in every state (tests/fixtures/make_queue.py): this
build delivers all of it, byte for byte and once, and nothing that had been delivered already."""
import json
import pathlib
import os
import shutil
import tarfile

import ports
import sinks
from suite import ROOT, Suite, expect, expect_equal

FIXTURES = sorted((ROOT / "tests/fixtures").glob("queue-*.tar.xz"))
expect(FIXTURES, "no fixture")


def own(top, owner):
    for path in [top, *top.rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


for fixture in FIXTURES:
    with sinks.Sink() as sink, Suite(start=False, relayhost=sink.place, minimal_backoff_time="1s",
                                     maximal_backoff_time="1s") as suite:
        suite.start()  # makes the directories, and says whose they are
        spool = pathlib.Path(suite.dir / "spool")
        owner = (spool / "journal").stat()
        suite.stop()
        with tarfile.open(fixture) as archive:
            archive.extractall(suite.top / "fixture")
        expected = json.loads((suite.top / "fixture/expected.json").read_text())
        for directory in (suite.top / "fixture/spool").iterdir():
            shutil.rmtree(spool / directory.name, ignore_errors=True)
            shutil.move(directory, spool / directory.name)
            own(spool / directory.name, owner)
        suite.start()
        suite.cli("retry", "ALL")
        held = suite.queue("--state", "hold")
        expect_equal([m["queue_id"] for m in held], [expected["held"]], "what is held stays so")
        suite.cli("release", expected["held"])
        wanted = expected["recipients"]
        ports.wait_until(lambda: sum(len(m.recipients) for m in sink.messages) >= len(wanted), 60,
                         f"the mail of {fixture.name}")
        suite.wait_empty(60)
        expect_equal(sorted(r for m in sink.messages for r in m.recipients), wanted,
                     f"{fixture.name}: recipients, once each")
        expect_equal(sorted({m.body for m in sink.messages}),
                     sorted(m["body"].encode() for m in expected["messages"]), f"{fixture.name}: bodies")
        print(f"{fixture.name}: {len(wanted)} recipients of {len(expected['messages'])} messages")

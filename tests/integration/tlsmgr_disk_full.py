# SPDX-License-Identifier: MIT
"""A full disk costs tlsmgr what it cannot write: it says so once, answers on, and keeps again when there
is room."""
import contextlib
import os
import tempfile

import small_disk
from service_client import ServiceClient
from suite import Suite, expect, expect_equal

TAKE, PUT = 96, 98


def put(key, session):
    with ServiceClient(suite.dir / "spool/private/tlsmgr") as client:
        client.tell(PUT, cache=0, key=key, session=session)
        client.ask(TAKE, cache=0, key="nothing")


def take(key):
    with ServiceClient(suite.dir / "spool/private/tlsmgr") as client:
        return client.ask(TAKE, cache=0, key=key).get("session", b"")


with contextlib.ExitStack() as stack:
    directory = stack.enter_context(small_disk.mounted("size=1m"))
    tempfile.tempdir = None  # the log has room
    suite = stack.enter_context(Suite(data_directory=directory + "/data"))
    put("before", b"s" * 3000)
    filler = directory + "/filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65536):
                pass
        except OSError:
            pass
        try:
            while file.write(b"\0" * 512):
                pass
        except OSError:
            pass
    before = suite.pids("tlsmgr")
    for n in range(50):
        put(f"full{n}", b"x" * 30000)
    expect_equal(suite.pids("tlsmgr"), before, "the process")
    os.unlink(filler)
    put("after", b"a" * 3000)
    expect_equal(take("after"), b"a" * 3000, "when there is room again")
    expect_equal(take("before") in (b"", b"s" * 3000), True, "what was there")
    expect(len([n for n in range(50) if take(f"full{n}")]) < 50, "something could not be kept")
    warnings = [line for line in suite.lines() if "smtp_tls_sessions" in line and "not kept" in line]
    expect_equal(len(warnings), 1, "warnings")

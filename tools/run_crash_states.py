#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the crash states of the queue (tests/fault/queue_crash_test.cpp) and keeps their numbers.

  run_crash_states.py BUILD
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))

import figures  # noqa: E402

WHAT = {"QueueCrash": "states after a power cut", "KilledThenPowerCut": "states after a kill and a power cut",
        "AcceptPathFails": "states after a call that fails"}


def main():
    build = pathlib.Path(sys.argv[1])
    done = subprocess.run([build / "queue_crash"], stdout=subprocess.PIPE, text=True, check=False)
    counts, suite, failed = {}, "", 0
    for line in done.stdout.splitlines():
        if match := re.match(r"\[ RUN      \] (?:\w+/)?(\w+)\.", line):
            suite = match.group(1)
        if match := re.search(r"(\d+) states", line):
            counts[suite] = counts.get(suite, 0) + int(match.group(1))
        failed += line.startswith("[  FAILED  ] ") and line.endswith("ms)")
    kept = [(WHAT.get(name, name), count) for name, count in counts.items()] + [("scenarios that failed", failed)]
    figures.record(build, "crash-states", f"tools/run_crash_states.py {build.name}", kept)
    for what, count in kept:
        print(f"{what}: {count}")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()

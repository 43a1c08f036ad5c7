# SPDX-License-Identifier: MIT
"""Each mistake of tests/support/seeds.py is noticed: the tests that pass on the sources as they are
fail, or do not end, on the copy that has the mistake."""
import os
import pathlib
import re
import subprocess

import seeds

BUILD = pathlib.Path(os.environ["POSTRIDER_BUILD"])
PATIENCE = 20  # seconds; a test that waits for what a mistake has taken away does not end by itself


def outcome(binary, test_filter):
    """Names of the tests that ran, and of those that failed; a test that does not end has failed."""
    try:
        done = subprocess.run([binary, f"--gtest_filter={test_filter}"], capture_output=True,
                              text=True, check=False, timeout=PATIENCE, errors="replace")
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output, status = (late.stdout or b"").decode(errors="replace"), -1
    ran = re.findall(r"(?m)^\[ RUN      \] (\S+)", output)
    passed = set(re.findall(r"(?m)^\[       OK \] (\S+)", output))
    failed = [name for name in ran if name not in passed]
    if status != 0 and not failed:
        failed = [f"status {status}"]
    return ran, failed


problems = []
for test, test_filter in sorted({(s.test, s.filter) for s in seeds.SEEDS}):
    ran, failed = outcome(BUILD / f"{test}_test", test_filter)
    if not ran or failed:
        problems.append(f"{test}_test {test_filter} without a mistake: ran {len(ran)}, failed {failed}")
for seed in seeds.SEEDS:
    if (BUILD / "seeded" / f"{seed.name}.cpp").read_text().startswith(seeds.UNFIT):
        problems.append(f"{seed.name}: the text to change is not in {seed.source}")
        continue
    ran, failed = outcome(BUILD / "seeded" / f"{seed.name}_test", seed.filter)
    if not failed:
        problems.append(f"{seed.name}: not noticed by any of {len(ran)} tests")
    print(f"{seed.name}: noticed by {len(failed)} of {len(ran)}: {' '.join(failed[:3])}")
if problems:
    raise SystemExit("\n".join(problems))

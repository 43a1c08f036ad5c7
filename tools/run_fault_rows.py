#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the tests that doc/faults.md names, and says of each row whether all of them passed.

  run_fault_rows.py BUILD                     all sections
  run_fault_rows.py BUILD "Hostile clients"   sections whose heading begins so

BUILD is a build directory with its tests built; with one of a sanitizer the rows are shown under it.
The counts are also written to BUILD/figures.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))

import figures  # noqa: E402


def rows(text):
    """(section, what happens, names of its tests) of each row."""
    section, found = "", []
    for line in text.splitlines():
        if line.startswith("## "):
            section = line[3:]
        if not line.startswith("|") or line.startswith(("|---", "| fault |", "| what happens |")):
            continue
        cells = line.strip("| ").split(" | ")
        found.append((section, cells[0], re.findall(r"`([^`]+)`", cells[-1])))
    return found


def pattern(name):
    """What CTest calls the tests of that name."""
    if name.endswith(".py"):
        return rf"^{name[:-3].replace('/', '[.]')}$"
    suite, test = name.split(".")
    last = "" if test == "*" else rf"{test}(/[^ ]*)?( .*)?$"
    return rf"^[a-z_]+[.]([A-Za-z0-9_]+/)?{suite}[.]{last}"


def run(build, names):
    """The outcomes of all tests of these names."""
    listing = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], capture_output=True, text=True,
                             check=True).stdout
    known = [test["name"] for test in json.loads(listing)["tests"]]
    wanted = re.compile("|".join(sorted({pattern(name) for name in names})))
    numbers = [number for number, name in enumerate(known, 1) if wanted.search(name)]
    if not numbers:
        return {}
    with tempfile.TemporaryDirectory() as directory:
        report, chosen = pathlib.Path(directory, "report.xml"), pathlib.Path(directory, "numbers")
        chosen.write_text("0,0,0," + ",".join(map(str, [*numbers, numbers[-1]])))  # CTest drops the last
        subprocess.run(["ctest", "--test-dir", build, "-I", chosen, "--output-junit", report, "--quiet"], check=False)
        return {case.get("name"): case.get("status") for case in xml.parse(report).getroot().iter("testcase")}


def main():
    build, wanted = sys.argv[1], sys.argv[2:]
    chosen = [row for row in rows((ROOT / "doc/faults.md").read_text())
              if not wanted or any(row[0].startswith(w) for w in wanted)]
    if not chosen:
        sys.exit("no such section in doc/faults.md")
    outcomes = run(build, [name for row in chosen for name in row[2]])
    counts = {}
    for section, what, names in chosen:
        passed, rest = 0, []
        for name in names:
            states = {t: s for t, s in outcomes.items() if re.search(pattern(name), t)}
            passed += bool(states) and all(s == "run" for s in states.values())
            rest += [f"{t}: {s}" for t, s in states.items() if s != "run"] or ([] if states else [f"{name}: no such test"])
        good, skipped, total = counts.setdefault(section, [0, 0, 0])
        is_skip = bool(rest) and all(r.endswith(("notrun", "disabled")) for r in rest)
        counts[section] = [good + (passed == len(names)), skipped + is_skip, total + 1]
        if rest:
            print(f"{section}: {what}: {'; '.join(rest)}")
    failed = 0
    for section, (good, skipped, total) in counts.items():
        print(f"{section}: {good} of {total} rows" + (f", {skipped} skipped" if skipped else ""))
        failed += total - good - skipped
    kind = figures.kind_of(build)
    name = "rows" if kind == "release" else "rows-sanitized"
    found = [(f"{section} ({kind})", f"{good} of {total} rows" + (f", {skipped} skipped" if skipped else ""))
             for section, (good, skipped, total) in counts.items()]
    found.append(("tests that the rows of the last run name", len(outcomes)))
    figures.record(build, name,
                   " ".join(["tools/run_fault_rows.py", pathlib.Path(build).name, *(f'"{w}"' for w in wanted)]),
                   found + figures.others(build, name, found))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

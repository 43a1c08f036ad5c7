#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes doc/figures.md: what the last runs counted, with date, commit and command of each.

  make_figures.py [BUILD ...]   takes what BUILD/figures/*.json hold (default: every build*/figures) into
                                doc/figures.json, newer runs in place of older ones, and writes the page
  make_figures.py --check       fails when the page is not what doc/figures.json says
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
KEPT, PAGE = ROOT / "doc/figures.json", ROOT / "doc/figures.md"
HEAD = """# Figures

Written by `make figures` from what the last runs counted; each run writes its own counts, nobody writes
here. A commit with a + had files that differed from it.
"""
TITLES = {  # in the order of the page
    "kills": "Random kills under load",
    "crash-states": "Crash states of the queue",
    "rows": "Rows of the tables of faults",
    "rows-sanitized": "The same rows with the sanitizers",
    "sandbox": "What workers are denied",
    "sandbox-cost": "What the sandbox costs",
    "ipc": "Abuse of the channels between processes",
    "fuzz": "Fuzzing",
    "crowd": "Load under attack",
}


def page(runs):
    out = HEAD
    for name in sorted(runs, key=lambda n: (list(TITLES).index(n) if n in TITLES else len(TITLES), n)):
        run = runs[name]
        out += (f"\n## {TITLES.get(name, name)}\n\n`{run['command']}`, {run['date']}, commit "
                f"{run['commit'] or 'unknown'}\n\n| figure | value |\n|---|---|\n")
        out += "".join(f"| {what} | {value:,} |\n" if isinstance(value, int) else f"| {what} | {value} |\n"
                       for what, value in run["figures"])
    return out


def main():
    runs = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if sys.argv[1:] == ["--check"]:
        good = PAGE.exists() and PAGE.read_text() == page(runs)
        print("doc/figures.md is what doc/figures.json says" if good else "doc/figures.md is old: make figures")
        sys.exit(0 if good else 1)
    builds = [pathlib.Path(a) for a in sys.argv[1:]] or sorted(ROOT.glob("build*"))
    for file in sorted((f for b in builds for f in (b / "figures").glob("*.json")), key=lambda f: f.stat().st_mtime):
        run = json.loads(file.read_text())
        runs[run.pop("name")] = run
    KEPT.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(runs))
    print(f"{PAGE.relative_to(ROOT)}: {len(runs)} runs")


if __name__ == "__main__":
    main()

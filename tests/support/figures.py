# SPDX-License-Identifier: MIT
"""Figures of a run, kept below the build directory for tools/make_figures.py: what was counted, when,
of which commit, and by which command."""
import datetime
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def commit():
    """The commit of the tree; with a + when files differ from it; empty outside of a repository."""
    def git(*args):
        return subprocess.run(["git", "-C", ROOT, *args], capture_output=True, text=True, check=False).stdout
    name = git("rev-parse", "--short=10", "HEAD").strip()
    return name + ("+" if name and git("status", "--porcelain", "-uno").strip() else "")


def record(build, name, command, figures):
    """`figures`: a list of (what, value), values being text or numbers with their denominator in `what`."""
    directory = pathlib.Path(build, "figures")
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    text = {"name": name, "date": now.strftime("%Y-%m-%d"), "commit": commit(), "command": command,
            "figures": [[what, value] for what, value in figures]}
    (directory / f"{name}.json").write_text(json.dumps(text, indent=1) + "\n")


def others(build, name, figures):
    """What earlier runs of that name counted besides these figures, each with its date and commit."""
    file = pathlib.Path(build, "figures", f"{name}.json")
    if not file.exists():
        return []
    run, new = json.loads(file.read_text()), {what for what, _ in figures}
    dated = f", {run['date']} at {run['commit']}"
    return [(what if " at " in what else what + dated, value) for what, value in run["figures"]
            if what not in new and what.split(", 20")[0] not in new]


def kind_of(build):
    """"release", or the sanitizers of that build."""
    for line in pathlib.Path(build, "CMakeCache.txt").read_text().splitlines():
        if line.startswith("POSTRIDER_SANITIZE:") and line.partition("=")[2]:
            return line.partition("=")[2]
    return "release"

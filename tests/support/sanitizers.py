# SPDX-License-Identifier: MIT
"""Fails a test in which any program of a sanitizer build made a report, master and the commands of
a moment included: importing this is enough.

Reports go to files of a directory where every user may create one. A program after chroot cannot
reach it: its words are in the log. When the test ends its exit status becomes 1 if there are any.
Scripts that a test starts share its directory.
"""
import atexit
import os
import pathlib
import shutil
import sys
import tempfile

VARIABLE = "POSTRIDER_REPORTS"
IN_LOG = r"Sanitizer|runtime error:|ERROR: Can't open file"


def _add(variable, *options):
    os.environ[variable] = ":".join(filter(None, [os.environ.get(variable), *options]))


def _judge(directory, owner):
    if os.getpid() != owner:
        return  # a forked helper of the test
    found = sorted(directory.iterdir())
    if not found:
        shutil.rmtree(directory, ignore_errors=True)
        return
    for path in found:
        print(f"--- {path}", path.read_text(errors="replace")[:12000], sep="\n", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)  # the status that was given is no longer true


def _collect():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="postrider-reports-"))
    directory.chmod(0o1777)
    os.environ[VARIABLE] = str(directory)
    _add("ASAN_OPTIONS", f"log_path={directory}/report")
    _add("UBSAN_OPTIONS", f"log_path={directory}/report", "print_stacktrace=1")
    atexit.register(_judge, directory, os.getpid())


if VARIABLE not in os.environ:
    _collect()

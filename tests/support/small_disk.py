# SPDX-License-Identifier: MIT
"""A file system of its own for the instance of a test: small, and mounted only while the test runs.

    with small_disk.mounted("size=96m,nr_inodes=400") as directory, Suite(...) as suite:
"""
import contextlib
import os
import subprocess
import tempfile

from suite import skip


@contextlib.contextmanager
def mounted(options):
    if os.geteuid() != 0:
        skip("mounting a file system needs root")
    directory = tempfile.mkdtemp()
    os.chmod(directory, 0o755)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,{options}", "tmpfs", directory],
                          capture_output=True, check=False)
    if done.returncode != 0:
        os.rmdir(directory)
        skip("may not mount a tmpfs here")
    before = tempfile.tempdir
    tempfile.tempdir = directory  # where the suite puts its instance
    try:
        yield directory
    finally:
        tempfile.tempdir = before
        subprocess.run(["umount", "-l", directory], check=False)
        os.rmdir(directory)


# SPDX-License-Identifier: MIT
"""authorized_mailq_users, authorized_flush_users and authorized_submit_users are lists of names,
!names, files and tables, of which the first that fits decides; root always sees the queue."""
# shows: authorized_submit_users
import atexit
import os
import pathlib
import shutil
import subprocess
import tempfile

import suite as postrider
from suite import Suite, expect_equal, expect_match, skip

if os.geteuid() != 0:
    skip("asking as another user needs root")


# Programs of their own: the build directory may be closed to other users.
programs = pathlib.Path(tempfile.mkdtemp(prefix="postrider-test-"))
atexit.register(shutil.rmtree, programs)
programs.chmod(0o755)


def as_daemon(suite, program, *arguments, text=""):
    program = programs / program.name if (programs / program.name).exists() else shutil.copy(program, programs)
    return subprocess.run([program, *arguments], user="daemon", group="daemon", extra_groups=[],
                          input=text, capture_output=True, text=True, check=False, timeout=60,
                          env={**os.environ, "MAIL_CONFIG": str(suite.config)}).returncode == 0


for users, allowed in (("static:anyone", True), ("!daemon, static:anyone", False), ("root", False),
                       ("inline:{daemon=x}", True), ("FILE", True), ("root, !FILE, static:anyone", False)):
    with Suite(start=False) as suite:
        users = users.replace("FILE", str(suite.write("users", "nobody\n# comment\ndaemon\n")))
        suite.configure(authorized_mailq_users=users, authorized_flush_users=users)
        suite.start()
        for words in (("queue",), ("flush",)):
            expect_equal(as_daemon(suite, postrider.POSTRIDER, *words), allowed, f"{words} by {users}")
        suite.cli("queue")

with Suite(authorized_submit_users="!root, static:anyone") as suite:
    refused = suite.sendmail("-bs", text="QUIT\r\n", check=False)
    expect_match(r"^554 5\.7\.1 .*not authorized to submit", refused.stdout, "greeting")
    expect_equal(refused.returncode, 77, "EX_NOPERM")
    expect_equal(suite.sendmail("to@example.net", text="x\n", check=False).returncode != 0, True, "root")
    expect_equal(suite.sendmail("-bs", text="QUIT\r\n", check=False).returncode, 77, "again")
    suite.stop()
    suite.configure(maillog_file="/dev/stdout", maillog_file_prefixes="/dev/stdout")
    told = suite.cli("start", check=False)
    expect_match("use `postrider start-fg`", told.stderr, "start with the log on standard output")

# SPDX-License-Identifier: MIT
"""Logins that Debian's saslauthd checks, against an IMAP server: what is right, wrong, and killed."""
import base64
import pathlib
import re
import socket
import subprocess
import threading

import ports
import sasl_accounts
from suite import Suite, expect_equal, expect_match, skip

SASLAUTHD = pathlib.Path("/usr/sbin/saslauthd")
if not SASLAUTHD.exists() or "rimap" not in subprocess.run([SASLAUTHD, "-v"], capture_output=True, text=True,
                                                           check=False).stderr:
    skip("saslauthd of sasl2-bin is needed")


def imap(listener):
    """Knows joe."""
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, client.makefile("rb") as lines:
            client.sendall(b"* OK ready\r\n")
            asked = lines.readline().decode()
            while match := re.search(r"\{(\d+)\}\r\n$", asked):  # literals
                client.sendall(b"+ go on\r\n")
                asked = asked[:match.start()] + lines.read(int(match[1])).decode() + lines.readline().decode()
            tag = asked.split(" ")[0]
            good = re.search(r'LOGIN "?joe"? "?s3cret"?\s*$', asked)
            client.sendall(f"{tag} {'OK' if good else 'NO'} LOGIN\r\n".encode())


def plain(user, password):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


with socket.create_server(("127.0.0.1", 0)) as listener, \
        Suite(start=False, **{**sasl_accounts.SETTINGS, "smtpd_sasl_local_domain": ""}) as suite:
    threading.Thread(target=imap, args=(listener,), daemon=True).start()
    directory = suite.top / "saslauthd"
    directory.mkdir()
    directory.chmod(0o755)
    backend = subprocess.Popen([SASLAUTHD, "-d", "-a", "rimap", "-O", f"127.0.0.1/{listener.getsockname()[1]}",
                                "-m", directory, "-n", "1"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)  # it ends its whole group
    try:
        ports.wait_until(lambda: (directory / "mux").exists(), 20, "saslauthd")
        sasl_accounts.configure(suite, "pwcheck_method: saslauthd", "mech_list: PLAIN LOGIN",
                                f"saslauthd_path: {directory}/mux")
        suite.start()
        with suite.raw() as client:
            client.command("EHLO x")
            expect_match("^535 5.7.8 ", client.command(plain("joe", "wrong")), "a wrong password")
            expect_match("^535 5.7.8 ", client.command(plain("ann", "s3cret")), "nobody")
            expect_equal(client.command(plain("joe", "s3cret")), "235 2.7.0 Authentication successful", "joe")
    finally:
        backend.terminate()
        backend.wait(20)
    with suite.raw() as client:
        client.command("EHLO x")
        expect_match("^454 4.7.0 ", client.command(plain("joe", "s3cret")), "without saslauthd")

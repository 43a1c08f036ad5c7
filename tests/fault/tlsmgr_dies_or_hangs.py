# SPDX-License-Identifier: MIT
"""Mail goes on whatever becomes of tlsmgr: with full handshakes, and nothing that was required is left out.

# shows: tlsmgr_service_name smtp_tls_session_cache_database
"""
import os
import pathlib
import signal
import tempfile

import certs
import ports
import procs
from suite import Suite, expect, expect_equal
from tls_peer import TlsPeer


def send(domain):
    return suite.send("from@example.org", [f"to@{domain}.example"])


def deliver(domain="good"):
    sent = send(domain)
    suite.wait_log(rf"{sent}: to=<to@{domain}\.example>, .*tls=verify, .*status=sent")
    return good.sessions[-1].resumed


def refuses_the_others():
    """A certificate of nobody, and a server without TLS."""
    for domain, why in (("bad", r"dsn=4\.7\.5, status=deferred \(Server certificate not trusted\)"),
                        ("clear", r"dsn=4\.7\.4, status=deferred \(TLS is required, but was not offered")):
        sent = send(domain)
        suite.wait_log(rf"{sent}: to=<to@{domain}\.example>, .*{why}")
        suite.cli("delete", sent)
    expect_equal(bad.mails + clear.mails, [], "mail to others")


def settings(root, *peers):
    routes = {name: f"smtp:[127.0.0.1]:{peer.port}" for name, peer in zip(("good", "bad", "clear"), peers)}
    return {"smtp_tls_security_level": "verify", "smtp_tls_verify_cert_match": "peer.example",
            "smtp_tls_CAfile": root.cert, "smtp_connection_cache_on_demand": "no", "smtp_tls_loglevel": "1",
            "smtp_tls_session_cache_database": "lmdb:$data_directory/sessions",
            "transport_maps": "inline:{" + ", ".join(f"{{{k}.example={v}}}" for k, v in routes.items()) + "}"}


def tlsmgr():
    return ports.wait_until(lambda: suite.pids("tlsmgr"), 20, "tlsmgr")


def warnings(text):
    return sum(text in line for line in suite.lines())


with tempfile.TemporaryDirectory() as directory:
    os.chmod(directory, 0o755)
    root = certs.Authority(pathlib.Path(directory, "ca"))
    root.cert.parent.chmod(0o755)
    with TlsPeer(root.issue("peer.example")) as good, TlsPeer(root.issue("peer.example", signed=False)) as bad, \
            TlsPeer(starttls="no") as clear:
        common = settings(root, good, bad, clear)
        # There is none. A process helps itself: only its first handshake is a full one.
        with Suite(tlsmgr_service_name="nobody", **common) as suite:
            expect_equal([deliver() for _ in range(3)], [False, True, True], "resumed, without tlsmgr")
            refuses_the_others()
            suite.reload()
            expect_equal(deliver(), False, "resumed by a new process")
            expect_equal(warnings("nobody is away, going on without"), 2, "warnings, one of each process")

        with Suite(**common) as suite:
            expect_equal([deliver(), deliver()], [False, True], "resumed")
            # Killed again and again, while mail goes.
            for _ in range(5):
                for pid in tlsmgr():
                    os.kill(pid, signal.SIGKILL)
                    procs.wait_gone([pid], 10)
                deliver()
            refuses_the_others()
            # It hangs: one wait of two seconds, and no other while it does.
            hung = tlsmgr()
            for pid in hung:
                os.kill(pid, signal.SIGSTOP)
            try:
                for _ in range(3):
                    deliver()
                refuses_the_others()
            finally:
                for pid in hung:
                    os.kill(pid, signal.SIGCONT)
            ports.wait_until(deliver, 60, "a session that is resumed again")
            suite.expected_trouble = True
        expect(all(s.tls for s in good.sessions), "mail in the clear")

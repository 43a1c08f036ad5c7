# SPDX-License-Identifier: MIT
"""The client's certificate and key are replaced while smtp runs: the server sees the new ones without a reload,
though sessions of the old one lie in the cache. A pair that is no good, or that cannot be read, leaves the one
before it in use, with an error in the log.

# shows: smtp_tls_cert_file smtp_tls_key_file smtp_tls_session_cache_database
"""
import os
import pathlib
import tempfile
import time

import certs
from suite import Suite, expect, expect_equal
from tls_peer import TlsPeer


class Files:
    """The two files that main.cf names."""

    def __init__(self, suite):
        self.suite = suite
        self.cert, self.key = suite.top / "client.pem", suite.top / "client.key"

    def write(self, path, data, mode=0o644):
        new = path.with_suffix(".new")
        new.write_bytes(data)
        new.chmod(mode)
        os.replace(new, path)  # as a careful tool does it

    def install(self, pair):
        self.write(self.key, pair.key.read_bytes())
        self.write(self.cert, pair.cert.read_bytes())


def deliver():
    sent = suite.send("from@example.org", ["to@example.net"])
    suite.wait_log(rf"{sent}: to=<to@example\.net>, .*tls=encrypt, .*status=sent")
    return peer.sessions[-1].client_cert


def deliver_until(condition, what):
    """The files are looked at every few seconds, when there is a connection to open."""
    deadline = time.monotonic() + 60
    while not condition(deliver()):
        expect(time.monotonic() < deadline, what)


def in_log(pattern):
    return any(pattern in line for line in suite.lines())


with tempfile.TemporaryDirectory() as directory:
    root = certs.Authority(pathlib.Path(directory, "ca"))
    first, second, third = (root.issue(f"client{n}.example") for n in range(3))
    with TlsPeer(root.issue("peer.example"), client_ca=root.cert) as peer, \
            Suite(start=False, relayhost=f"[127.0.0.1]:{peer.port}", smtp_tls_security_level="encrypt",
                  smtp_tls_session_cache_database="lmdb:$data_directory/sessions",
                  smtp_connection_cache_on_demand="no") as suite:
        files = Files(suite)
        files.install(first)
        suite.configure(smtp_tls_cert_file=files.cert, smtp_tls_key_file=files.key)
        suite.start()
        expect_equal(deliver(), first.der, "certificate")
        expect_equal(deliver(), first.der, "certificate")
        expect(peer.sessions[-1].resumed, "the second session is none that was resumed")
        process = suite.pids("smtp")

        files.install(second)
        deliver_until(lambda seen: seen == second.der, "the server sees the new certificate")
        resumed = [s.resumed for s in peer.sessions if s.client_cert == second.der]
        expect_equal(resumed[0], False, "the first session of the new certificate is resumed")

        # No good.
        files.write(files.cert, b"-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n")
        deliver_until(lambda seen: expect_equal(seen, second.der, "certificate") or
                      in_log("error: " + str(files.cert)), "an error in the log")
        # Half of a pair.
        files.write(files.cert, third.cert.read_bytes())
        deliver_until(lambda seen: expect_equal(seen, second.der, "certificate") or
                      in_log("the private key does not belong to the certificate"), "an error in the log")
        # Mended, and then out of reach.
        files.write(files.key, third.key.read_bytes())
        deliver_until(lambda seen: seen == third.der, "the server sees the third certificate")
        if os.geteuid() == 0 and (suite.dir / "spool").stat().st_uid != 0:
            files.write(files.key, first.key.read_bytes(), mode=0o000)
            files.write(files.cert, first.cert.read_bytes())
            deliver_until(lambda seen: expect_equal(seen, third.der, "certificate") or
                          any("client.key" in line and "Permission denied" in line for line in suite.lines()),
                          "an error in the log")
            expect(in_log("the certificates read before stay in use"), "what follows")
        expect_equal(suite.pids("smtp"), process, "the process")

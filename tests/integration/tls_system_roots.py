# SPDX-License-Identifier: MIT
"""The roots of the system count where they are asked for, and besides those of the configuration.

The whole test runs in a mount namespace in which the bundle of the system holds another authority.

# shows: tls_append_default_CA
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import certs
from suite import Suite, expect, skip
from tls_peer import TlsPeer

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"  # what GnuTLS reads on Debian
UNTRUSTED = "Server certificate not trusted"
# name: parameters, (what becomes of mail to a server of the system's authority, to one of our own)
CASES = {
    "nothing": ({}, (UNTRUSTED, UNTRUSTED)),
    "system": ({"tls_append_default_CA": "yes"}, ("sent", UNTRUSTED)),
    "own": ({"CAfile": True}, (UNTRUSTED, "sent")),
    "both":    ({"tls_append_default_CA": "yes", "CAfile": True}, ("sent", "sent")),
}


def services(own):
    for flavor in ("smtp", "lmtp"):
        for name, (parameters, _) in CASES.items():
            options = {f"{flavor}_tls_security_level": "verify", f"{flavor}_tls_verify_cert_match": "peer.example"}
            if "CAfile" in parameters:
                options[f"{flavor}_tls_CAfile"] = own.cert
            options |= {key: value for key, value in parameters.items() if key != "CAfile"}
            words = " ".join(f"-o {{ {key} = {value} }}" for key, value in options.items())
            yield f"{flavor}-{name} unix - - n - 1 {flavor} {words}\n"


def run(system, own):
    with TlsPeer(system.issue("peer.example")) as theirs, TlsPeer(own.issue("peer.example")) as ours:
        wanted, routes = {}, []
        for flavor in ("smtp", "lmtp"):
            for name, (_, outcomes) in CASES.items():
                for which, peer, outcome in zip(("theirs", "ours"), (theirs, ours), outcomes):
                    domain = f"{which}.{name}.{flavor}.example"
                    wanted[domain] = outcome
                    routes.append(f"{domain} {flavor}-{name}:[127.0.0.1]:{peer.port}\n")
        suite = Suite(start=False)
        suite.configure(transport_maps=f"texthash:{suite.write('transport', ''.join(routes))}")
        with (suite.config / "master.cf").open("a") as file:
            file.writelines(services(own))
        with suite:
            suite.start()
            for domain in wanted:
                suite.send("from@example.org", [f"x@{domain}"])
            suite.wait_log(r" to=<x@\S+>, .*status=", count=len(wanted), seconds=60)
            for domain, outcome in wanted.items():
                line = next(line for line in suite.lines() if f"to=<x@{domain}>" in line)
                result, text = re.search(r"status=(\w+) \((.*)\)$", line).groups()
                good = result == "sent" if outcome == "sent" else result == "deferred" and outcome in text
                expect(good, f"{domain}: wanted {outcome}: {line}")


def main():
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:
        skip("no right to make a mount namespace")
    if not pathlib.Path(BUNDLE).exists():
        skip(f"no {BUNDLE}")
    if len(sys.argv) == 1:  # again, in a namespace of our own
        os.execvp("unshare", ["unshare", "-m", sys.executable, __file__, "inside"])
    with tempfile.TemporaryDirectory() as directory:
        system = certs.Authority(pathlib.Path(directory, "system"), "System")
        own = certs.Authority(pathlib.Path(directory, "own"), "Own")
        pathlib.Path(directory).chmod(0o755)
        subprocess.run(["mount", "--bind", system.cert, BUNDLE], check=True)
        run(system, own)


main()

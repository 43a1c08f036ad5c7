# SPDX-License-Identifier: MIT
"""One server, several policies: a TLS session is resumed under the policy that made it, and by who made it, and
under no other. So a level that asks for proof gets a handshake of its own.

# shows: smtp_tls_policy_maps smtp_tls_session_cache_database smtp_tls_chain_files
"""
import os
import pathlib
import tempfile

import certs
import names
import ports
from suite import Suite, expect_equal, skip
from tls_peer import TlsPeer

if not names.available():
    skip("nsd is not installed")
# Destination: its entry of smtp_tls_policy_maps. All have the same MX host.
POLICIES = {
    "may": "may",
    "encrypt": "encrypt",
    "ciphers": "encrypt ciphers=high",
    "exclude": "encrypt exclude=AES128",
    "protocols": "encrypt protocols=>=TLSv1.1",
    "servername": "encrypt servername=peer.test",
    "verify": "verify match=peer.test",
    "match": "verify match=other.test:peer.test",
    "secure": "secure match=peer.test",
    "fingerprint": "fingerprint match={fingerprint}",
}


def deliver(domain):
    """Whether the session of one more message was resumed."""
    before = len(peer.sessions)
    sent = suite.send("from@example.org", [f"to@{domain}.test"])
    level = POLICIES[domain].split()[0]
    suite.wait_log(rf"{sent}: to=<to@{domain}\.test>, relay=peer\.test\[127\.0\.1\.1\].*, tls={level}, .*status=sent")
    expect_equal(len(peer.sessions), before + 1, "connections of one message")
    return peer.sessions[-1].resumed


with tempfile.TemporaryDirectory() as directory:
    os.chmod(directory, 0o755)
    root = certs.Authority(pathlib.Path(directory, "ca"))
    certificate, client, other = (root.issue(name) for name in ("peer.test", "client.test", "other.test"))
    root.cert.parent.chmod(0o755)
    zone = "\n".join(["peer A 127.0.1.1", *(f"{name} MX 1 peer" for name in POLICIES)])
    with TlsPeer(certificate, address="127.0.1.1", client_ca=root.cert) as peer, \
            names.NameServer(directory + "/dns", {"test": zone}, port=ports.free_port()) as dns, \
            Suite(start=False, dns_resolvers=dns.resolver, smtp_tcp_port=peer.port, smtp_tls_CAfile=root.cert,
                  smtp_tls_session_cache_database="lmdb:$data_directory/sessions",
                  smtp_connection_cache_on_demand="no") as suite:
        entries = "".join(f"{name}.test {policy.format(fingerprint=certificate.fingerprint())}\n"
                          for name, policy in POLICIES.items())
        suite.configure(smtp_tls_policy_maps=f"texthash:{suite.write('policies', entries)}")
        suite.start()
        # Each begins with a handshake of its own, though others have left sessions for the same server.
        expect_equal({name: deliver(name) for name in POLICIES}, dict.fromkeys(POLICIES, False), "first")
        expect_equal({name: deliver(name) for name in POLICIES}, dict.fromkeys(POLICIES, True), "second")

        # With a certificate, and with another one, we are somebody else to the server.
        seen = []
        for number, pair in enumerate((client, other, client)):
            chain = suite.write(f"chain{number}.pem", pair.both.read_text())
            chain.chmod(0o644)
            suite.configure(smtp_tls_chain_files=chain)
            suite.reload()
            seen.append(deliver("verify"))
            expect_equal(peer.sessions[-1].client_cert, pair.der, "certificate")
        expect_equal(seen, [False, False, True], "sessions of an identity")

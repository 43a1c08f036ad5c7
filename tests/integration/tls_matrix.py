# SPDX-License-Identifier: MIT
"""Each kind of server by each TLS level. What must become of the mail stands in TABLE, and is compared
with what the suite says and with what the server has seen.

clear     delivered without TLS
tls       delivered with TLS; the certificate was not asked for
verified  delivered, and the certificate proved what the level asks for
4.7.4     waits: no TLS to be had; 4.7.0 is the code of the server that refused it
4.7.5     waits: the handshake or the certificate failed
4.5.0     waits: the server spoke out of turn
"""
import contextlib
import pathlib
import re
import ssl
import subprocess
import tempfile

import certs
import dovecot_peer
import exim_peer
import names
import ports
import postfix_peer
import tls_peer
from suite import Suite, expect_equal, skip

if not (names.available() and postfix_peer.available() and dovecot_peer.available()):
    skip("needs nsd, Postfix and Dovecot, and root")

LEVELS = ["none", "may", "encrypt", "fingerprint", "dane", "dane-only", "verify", "secure"]
GOOD = "clear tls tls verified verified verified verified verified"
NO_PROOF_BY_ROOTS = "clear tls tls verified verified verified 4.7.5 4.7.5"
TABLE = {
    # real servers
    "postfix":    GOOD,
    "exim":       GOOD,
    # certificates
    "good":       GOOD,
    "rsa":        GOOD,
    "ed25519":    GOOD,
    "selfsigned": NO_PROOF_BY_ROOTS,
    "expired":    NO_PROOF_BY_ROOTS,
    "wrongname":  NO_PROOF_BY_ROOTS,
    # what may be negotiated: 1.2 and more where TLS is mandatory
    "tls12":      GOOD,
    "tls10":      "clear tls 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5",
    "tinydh":     "clear 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5",
    # STARTTLS stripped, refused, cut, forged
    "notls":      "clear clear 4.7.4 4.7.4 4.7.4 4.7.4 4.7.4 4.7.4",
    "refused":    "clear clear 4.7.0 4.7.0 4.7.0 4.7.0 4.7.0 4.7.0",
    "cut":        "clear 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5",
    "half":       "clear 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5",
    "stall":      "clear 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5",
    "garbage":    "clear 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5 4.7.5",
    "inject":     "clear 4.5.0 4.5.0 4.5.0 4.5.0 4.5.0 4.5.0 4.5.0",
}
HAS_EXIM = exim_peer.available()
if not HAS_EXIM:
    print("no Exim (tools/unpack_peers.sh build/peers), or no mount namespace for it: two rows are left out")
    del TABLE["exim"], TABLE["tinydh"]
TINY_DH = """-----BEGIN DH PARAMETERS-----
MGYCYQDOSYHqKFtxz3Jn5cJ1ttjImAIj/a4UQ2ssKau740hw5f/kpsZSVwsP/RzT
hxVOyMfxhHvY2whRbCuPZ6qe+kUv2oPqWlI3iqgIjKmomvRJ9yYBzHbyKfZbU8gd
BdNy4gcCAQI=
-----END DH PARAMETERS-----
"""


def python_peers(stack, authority, top):
    certificate = {
        "good": authority.issue("*.mx.test"), "rsa": authority.issue("*.mx.test", kind="rsa"),
        "ed25519": authority.issue("*.mx.test", kind="ed25519"),
        "selfsigned": authority.issue("*.mx.test", signed=False), "expired": authority.expired("*.mx.test"),
        "wrongname": authority.issue("mx.other.example")}
    behaviour = {
        "tls12": {"max_version": ssl.TLSVersion.TLSv1_2}, "tls10": {"max_version": ssl.TLSVersion.TLSv1},
        "notls": {"starttls": "no"}, "refused": {"starttls": "454"},
        **{name: {"starttls": name} for name in ("cut", "half", "stall", "garbage", "inject")}}
    peers = {}
    for name in TABLE:
        if name in ("postfix", "exim", "tinydh"):
            continue
        shown = certificate.get(name) or certificate["rsa" if name == "tls10" else "good"]
        peer = tls_peer.TlsPeer(shown, name=f"{name}.test", **behaviour.get(name, {}))
        peer.certificate = shown
        peers[name] = stack.enter_context(peer)
    return peers


def wanted(outcome):
    """What the log says of one delivery."""
    return r"dsn=2\S+, status=sent" if outcome in ("clear", "tls", "verified") else \
        rf"dsn={re.escape(outcome)}, status=deferred"


with tempfile.TemporaryDirectory(prefix="postrider-matrix-") as top, contextlib.ExitStack() as stack:
    pathlib.Path(top).chmod(0o755)
    authority = certs.Authority(pathlib.Path(top, "ca"))
    peers = python_peers(stack, authority, top)
    for_postfix, for_exim = authority.issue("*.mx.test"), authority.issue("*.mx.test", kind="rsa")
    port = ports.free_port()
    postfix = postfix_peer.Postfix(pathlib.Path(top, "postfix"), f"127.0.0.1:{port}", settings={
        "smtpd_tls_security_level": "may", "smtpd_tls_chain_files": for_postfix.both, "smtpd_tls_loglevel": "1",
        "relay_domains": "static:all",
        "default_transport": "discard:", "relay_transport": "discard:", "smtpd_tls_received_header": "yes"})
    stack.callback(postfix.stop)
    postfix.start()
    postfix.port, postfix.certificate = port, for_postfix
    peers["postfix"] = postfix
    if HAS_EXIM:
        parameters = pathlib.Path(top, "dh.pem")
        parameters.write_text(TINY_DH)
        exim = stack.enter_context(exim_peer.Exim(pathlib.Path(top, "exim"), cert=for_exim.cert, key=for_exim.key))
        tiny = stack.enter_context(exim_peer.Exim(  # OpenSSL would refuse to use such parameters
            pathlib.Path(top, "tiny"), cert=for_exim.cert, key=for_exim.key,
            more=f"tls_dhparam = {parameters}\n"
                 "tls_require_ciphers = NORMAL:-VERS-TLS1.3:-KX-ALL:+DHE-RSA:-GROUP-DH-ALL:%PROFILE_VERY_WEAK"))
        exim.certificate = tiny.certificate = for_exim
        peers |= {"exim": exim, "tinydh": tiny}

    records, policies, routes = [], [], []
    for name, peer in peers.items():
        for level in LEVELS:
            host = f"{level}-{name}.mx"
            nexthop = f"[{host}.test]:{peer.port}"
            records += [f"{host} A 127.0.0.1"]
            if level.startswith("dane"):
                records += [f"_{peer.port}._tcp.{host} TLSA {peer.certificate.tlsa(3, 1, 1)}"]
            proof = f" match={peer.certificate.key_fingerprint()}" if level == "fingerprint" else ""
            policies += [f"{nexthop} {level}{proof}"]
            routes += [f"{level}-{name}.example smtp:{nexthop}"]
    dns = stack.enter_context(names.NameServer(pathlib.Path(top, "dns"), {"test": "\n".join(records)},
                                               signed=["test"]))
    with Suite(start=False, dns_resolvers=dns.resolver, dns_trust_anchor_file=dns.anchor_file,
               smtp_dns_support_level="dnssec", smtp_tls_security_level="none", smtp_tls_loglevel="1",
               smtp_tls_CAfile=authority.cert, smtp_tls_mandatory_protocols=">=TLSv1.2",
               smtp_starttls_timeout="5s", minimal_backoff_time="300s",
               smtp_tls_fingerprint_digest="sha256") as suite:
        suite.configure(smtp_tls_policy_maps=f"texthash:{suite.write('policy', chr(10).join(policies) + chr(10))}",
                        transport_maps=f"texthash:{suite.write('routes', chr(10).join(routes) + chr(10))}")
        suite.start()
        for name in TABLE:
            for level in LEVELS:
                suite.send("from@example.org", [f"to@{level}-{name}.example"], f"Subject: {level} {name}\n\nx\n")
        wrong = []
        for name, row in TABLE.items():
            for level, outcome in zip(LEVELS, row.split(), strict=True):
                pattern = rf"to=<to@{level}-{name}\.example>.*(dsn=\S+, status=\w+ \(.*)"
                said = suite.wait_log(pattern, seconds=60).group(1)
                if not re.match(wanted(outcome), said):
                    wrong.append(f"{name} at {level}: wanted {outcome}, got {said}")
                    continue
                lines = [line for line in suite.lines()
                         if f"TLS connection established to {level}-{name}.mx.test[" in line]
                kinds = {re.search(r"(\w+) TLS connection established", line).group(1) for line in lines}
                if outcome == "verified" and kinds != {"Verified"}:
                    wrong.append(f"{name} at {level}: {kinds}, not verified")
                if outcome == "tls" and (not kinds or "Verified" in kinds and level != "may"):
                    wrong.append(f"{name} at {level}: {kinds}, wanted TLS")
                if outcome == "clear" and kinds:
                    wrong.append(f"{name} at {level}: {kinds}, wanted clear text")
        expect_equal(wrong, [], "cells that differ from the table")
        # What the servers themselves saw.
        for name, peer in peers.items():
            if isinstance(peer, tls_peer.TlsPeer):
                row = dict(zip(LEVELS, TABLE[name].split(), strict=True))
                expect_equal(len(peer.clear_mails), list(row.values()).count("clear"), f"clear text at {name}")
                expect_equal(len(peer.mails), sum(v in ("clear", "tls", "verified") for v in row.values()),
                             f"mail at {name}")
        if HAS_EXIM:
            expect_equal(sum("X=TLS1" in line for line in exim.taken()), 7, "mail with TLS at Exim")
            expect_equal(sum("X=TLS1" in line for line in tiny.taken()), 0, "mail with TLS that is none")

    # Dovecot, by LMTP with STARTTLS; implicit TLS; and a server of GnuTLS that never greets.
    for_dovecot = authority.issue("store.test", kind="rsa")
    store = stack.enter_context(dovecot_peer.Dovecot(
        pathlib.Path(top, "dovecot"), {"to@store.example": None},
        f"ssl = yes\nssl_cert = <{for_dovecot.cert}\nssl_key = <{for_dovecot.key}\n"))
    wrapped = stack.enter_context(tls_peer.TlsPeer(authority.issue("wrapped.test"), wrapper=True))
    silent = authority.issue("silent.test", kind="rsa")
    silent_port = ports.free_port()
    gnutls = subprocess.Popen(["gnutls-serv", "--echo", "--quiet", "--port", str(silent_port), "--x509certfile",
                               silent.cert, "--x509keyfile", silent.key, "--disable-client-cert"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(gnutls.wait)
    stack.callback(gnutls.terminate)
    ports.wait_listening("127.0.0.1", silent_port)
    dns = stack.enter_context(names.NameServer(pathlib.Path(top, "more"), {"test": "* A 127.0.0.1"}))
    with Suite(start=False, dns_resolvers=dns.resolver, smtp_tls_loglevel="1", lmtp_tls_loglevel="1",
               smtp_tls_CAfile=authority.cert, lmtp_tls_CAfile=authority.cert, lmtp_tls_security_level="verify",
               transport_maps="inline:{"
               f" store.example=lmtp:inet:store.test:{store.port},"
               f" wrapped.example=wrapped:[wrapped.test]:{wrapped.port},"
               f" silent.example=wrapped:[silent.test]:{silent_port} }}") as suite:
        with open(suite.config / "master.cf", "a", encoding="ascii") as file:
            file.write("wrapped unix - - n - - smtp -o smtp_tls_wrappermode=yes -o smtp_helo_timeout=3s"
                       " -o smtp_tls_security_level=secure\n")
        suite.start()
        for domain in ("store", "wrapped", "silent"):
            suite.send("from@example.org", [f"to@{domain}.example"])
        for domain in ("store", "wrapped", "silent"):
            suite.wait_log(rf"Verified TLS connection established to {domain}\.test\[")
        for domain in ("store", "wrapped"):
            suite.wait_log(rf"to=<to@{domain}\.example>.*status=sent")
        suite.wait_log(r"to=<to@silent\.example>.*dsn=4\.4\.2, status=deferred .*initial server greeting")
        expect_equal(len(store.mails("to@store.example")), 1, "mail at Dovecot")
        expect_equal([s.tls for s in wrapped.sessions], ["TLSv1.3"], "implicit TLS")

# SPDX-License-Identifier: MIT
"""Every TLS level against every kind of server: the outcome is written down here, beforehand. Levels and
what they ask for come from smtp_tls_policy_maps, by next hop with brackets and port.

# shows: smtp_tls_policy_maps smtp_tls_CAfile smtp_tls_loglevel smtp_starttls_timeout smtp_tls_security_level
# shows: smtp_tls_note_starttls_offer
"""
import re
import ssl
import tempfile

import certs
from suite import Suite, expect, expect_equal
from tls_peer import TlsPeer

TLS, CLEAR = "over TLS", "in the clear"
NOT_OFFERED = "TLS is required, but was not offered by host 127.0.0.1[127.0.0.1]"
REFUSED = "TLS is required, but host 127.0.0.1[127.0.0.1] refused to start TLS: {} 4.7.0 TLS not available"
FAILED = "Cannot start TLS: handshake failure"
UNTRUSTED, UNVERIFIED = "Server certificate not trusted", "Server certificate not verified"

LEVELS = {
    "none": "none",
    "may": "may",
    "encrypt": "encrypt",
    "fingerprint": "fingerprint match={good}|{wrongname_key}",
    "verify": "verify match=peer.example",
    "secure": "secure match=.invalid.example:peer.example",
}
#                  none   may     encrypt      fingerprint  verify       secure
TABLE = {
    "good":        [CLEAR, TLS,    TLS,         TLS,         TLS,         TLS],
    "selfsigned":  [CLEAR, TLS,    TLS,         UNVERIFIED,  UNTRUSTED,   UNTRUSTED],
    "expired":     [CLEAR, TLS,    TLS,         UNVERIFIED,  UNTRUSTED,   UNTRUSTED],
    "wrongname":   [CLEAR, TLS,    TLS,         TLS,         UNVERIFIED,  UNVERIFIED],
    "not_offered": [CLEAR, CLEAR,  NOT_OFFERED, NOT_OFFERED, NOT_OFFERED, NOT_OFFERED],
    "refused_454": [CLEAR, CLEAR,  *[REFUSED.format(454)] * 4],
    "refused_502": [CLEAR, CLEAR,  *[REFUSED.format(502)] * 4],
    "cut":         [CLEAR, *[FAILED] * 5],
    "half":        [CLEAR, *[FAILED] * 5],
    "garbage":     [CLEAR, *[FAILED] * 5],
    "stall":       [CLEAR, *[FAILED] * 5],
    "injected":    [CLEAR, *["Protocol error: 127.0.0.1[127.0.0.1]: data before the handshake of TLS while "
                             "performing the STARTTLS handshake"] * 5],
    "tls10":       [CLEAR, TLS,    TLS,         TLS,         TLS,         TLS],
    "tls12":       [CLEAR, TLS,    TLS,         TLS,         TLS,         TLS],
    # What is offered in the clear only, or inside TLS only: a limit that nobody can keep.
    "other_words": ["message size", TLS, TLS,   TLS,         TLS,         TLS],
    "fewer_words": [CLEAR, *["message size"] * 5],
}
WORDS = {"none": "none", "may": "may", "encrypt": "encrypt", "fingerprint": "fingerprint", "verify": "verify",
         "secure": "secure"}


def make_certificates(directory):
    authority = certs.Authority(directory)
    return authority, {
        "good": authority.issue("peer.example"),
        "selfsigned": authority.issue("peer.example", signed=False),
        "expired": authority.expired("peer.example"),
        "wrongname": authority.issue("other.example"),
        "rsa": authority.issue("peer.example", kind="rsa"),
    }


def make_peer(kind, made):
    certificate = made[kind if kind in made else "good"]
    options = {
        "not_offered": {"starttls": "no"}, "refused_454": {"starttls": "454"},
        "refused_502": {"starttls": "502"}, "cut": {"starttls": "cut"}, "half": {"starttls": "half"},
        "garbage": {"starttls": "garbage"}, "stall": {"starttls": "stall"}, "injected": {"starttls": "inject"},
        "tls10": {"max_version": ssl.TLSVersion.TLSv1}, "tls12": {"max_version": ssl.TLSVersion.TLSv1_2},
        "other_words": {"keywords": ["SIZE 10"], "keywords_tls": ["PIPELINING"]},
        "fewer_words": {"keywords": ["PIPELINING"], "keywords_tls": ["SIZE 10"]},
    }
    return TlsPeer(certificate, **options.get(kind, {}))


def status_of(level, wanted):
    """tls= of the log line."""
    if wanted == TLS or wanted == "message size" and level != "none":
        return level
    if level == "none":
        return "none"
    if wanted in (NOT_OFFERED, UNTRUSTED, UNVERIFIED) or "refused to start" in wanted:
        return "!" + level
    return level + (":none" if wanted == CLEAR else "?")


def check(suite, name, level, peer, wanted):
    line = suite.lines_to(name)
    expect_equal(len(line), 1, f"{name}: attempts")
    found = re.search(r" tls=(\S+), dsn=(\S+), status=(\w+) \((.*)\)$", line[0])
    expect(found, f"{name}: {line[0]}")
    status, dsn, result, text = found.groups()
    if wanted in (TLS, CLEAR):
        expect_equal(result, "sent", f"{name}: {text}")
        session = next(s for s in peer.sessions if s.mails)
        expect_equal(session.tls is not None, wanted == TLS, f"{name}: TLS")
    else:
        expect(wanted in text, f"{name}: {text}")
        expect_equal(peer.mails, [], f"{name}: mail")
        expect_equal(result, "bounced" if wanted == "message size" else "deferred", name)
        if wanted in (NOT_OFFERED, FAILED, UNTRUSTED, UNVERIFIED):
            expect_equal(dsn, "4.7.4" if wanted == NOT_OFFERED else "4.7.5", name)
    expect_equal(status, status_of(level, wanted), f"{name}: tls=")
    if level not in ("none", "may"):
        for session in peer.sessions:
            words = {text.split(" ")[0] for secure, text in session.commands if not secure}
            said = {word for word in words if word.isascii() and word.isalpha()}  # no ClientHello
            expect(said <= {"EHLO", "STARTTLS", "QUIT"}, f"{name}: said in the clear: {said}")


def check_log(suite, peers):
    log = "\n".join(suite.lines())

    def established(word, kind, level):
        port = peers[kind, level].port
        return re.search(rf"{word} TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: "
                         r"TLSv1\.3 with cipher TLS_\S+ \(\d+/\d+ bits\) key-exchange ", log)

    for word, kind, level in [("Verified", "good", "verify"), ("Verified", "good", "secure"),
                              ("Verified", "good", "fingerprint"), ("Trusted", "good", "may"),
                              ("Trusted", "good", "encrypt"), ("Untrusted", "selfsigned", "encrypt"),
                              ("Untrusted", "expired", "may"), ("Trusted", "wrongname", "verify")]:
        expect(established(word, kind, level), f"no line {word} for {kind} at {level}")
    for kind, level in [("selfsigned", "verify"), ("expired", "secure"), ("wrongname", "verify")]:
        port = peers[kind, level].port
        expect(re.search(rf"certificate verification failed for 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: \S", log),
               f"no reason for {kind} at {level}")
    expect("Host offered STARTTLS: [127.0.0.1]" in log, "an offer that was not noted")
    expect(re.search(rf"SSL_connect error to 127\.0\.0\.1\[127\.0\.0\.1\]:{peers['cut', 'encrypt'].port}: \S", log),
           "no reason for a failed handshake")


class Letters(Suite):
    def lines_to(self, name):
        return [line for line in self.lines() if f"to=<x@{name}>" in line]


def main():
    with tempfile.TemporaryDirectory() as directory:
        authority, made = make_certificates(directory)
        prints = {"good": made["good"].fingerprint().upper(), "wrongname_key": made["wrongname"].key_fingerprint()}
        peers, transports, policies = {}, [], []
        for kind, row in TABLE.items():
            expect_equal(len(row), len(LEVELS), kind)
            for level, entry in LEVELS.items():
                peer = peers[kind, level] = make_peer(kind, made).__enter__()
                transports.append(f"{kind}.{level}.example smtp:[127.0.0.1]:{peer.port}\n".replace("_", "-"))
                policies.append(f"[127.0.0.1]:{peer.port} {entry.format(**prints)}\n")
        suite = Letters(start=False, smtp_tls_CAfile=authority.cert, smtp_tls_loglevel=1, smtp_starttls_timeout="2s",
                        smtp_tls_note_starttls_offer="yes", smtp_tls_security_level="secure")
        suite.configure(transport_maps=f"texthash:{suite.write('transport', ''.join(transports))}",
                        smtp_tls_policy_maps=f"texthash:{suite.write('policy', ''.join(policies))}")
        with suite:
            suite.start()
            names = {key: f"{key[0]}.{key[1]}.example".replace("_", "-") for key in peers}
            for name in names.values():
                suite.send("from@example.org", [f"x@{name}"])
            suite.wait_log(r" to=<x@\S+>, .*status=", count=len(names), seconds=60)
            for (kind, level), peer in peers.items():
                check(suite, names[kind, level], level, peer, TABLE[kind][list(LEVELS).index(level)])
            check_log(suite, peers)
        for peer in peers.values():
            peer.__exit__()


main()

# SPDX-License-Identifier: MIT
"""TLS parameters of smtp and lmtp, one transport for each case: what a server sees of them, and what becomes
of the mail.

# shows: smtp_tls_security_level smtp_tls_CAfile smtp_tls_CApath smtp_tls_verify_cert_match smtp_tls_secure_cert_match
# shows: lmtp_tls_security_level lmtp_tls_CAfile lmtp_tls_CApath lmtp_tls_verify_cert_match lmtp_tls_secure_cert_match
# shows: smtp_tls_fingerprint_cert_match smtp_tls_fingerprint_digest smtp_tls_trust_anchor_file smtp_tls_protocols
# shows: lmtp_tls_fingerprint_cert_match lmtp_tls_fingerprint_digest lmtp_tls_trust_anchor_file lmtp_tls_protocols
# shows: smtp_tls_scert_verifydepth smtp_tls_mandatory_protocols smtp_tls_ciphers smtp_tls_mandatory_ciphers
# shows: lmtp_tls_scert_verifydepth lmtp_tls_mandatory_protocols lmtp_tls_ciphers lmtp_tls_mandatory_ciphers
# shows: smtp_tls_exclude_ciphers smtp_tls_mandatory_exclude_ciphers smtp_tls_priority smtp_tls_mandatory_priority
# shows: lmtp_tls_exclude_ciphers lmtp_tls_mandatory_exclude_ciphers lmtp_tls_priority lmtp_tls_mandatory_priority
# shows: smtp_tls_cert_file smtp_tls_key_file smtp_tls_eccert_file smtp_tls_eckey_file smtp_tls_chain_files
# shows: lmtp_tls_cert_file lmtp_tls_key_file lmtp_tls_eccert_file lmtp_tls_eckey_file lmtp_tls_chain_files
# shows: smtp_tls_servername smtp_tls_wrappermode smtp_use_tls smtp_enforce_tls smtp_tls_enforce_peername
# shows: lmtp_tls_servername lmtp_tls_wrappermode lmtp_use_tls lmtp_enforce_tls lmtp_tls_enforce_peername
# shows: smtp_tls_per_site lmtp_tls_per_site lmtp_tls_policy_maps lmtp_tls_loglevel lmtp_starttls_timeout
# shows: lmtp_tls_note_starttls_offer tls_high_cipherlist tls_medium_cipherlist tls_null_cipherlist
"""
import pathlib
import re
import ssl
import tempfile

import certs
from suite import Suite, expect, expect_equal
from tls_peer import TlsPeer

TLS, CLEAR = "over TLS", "in the clear"
FAILED = "Cannot start TLS: handshake failure"
UNTRUSTED, UNVERIFIED = "Server certificate not trusted", "Server certificate not verified"
TLS12 = {"max_version": ssl.TLSVersion.TLSv1_2}
ONE_CIPHER = {**TLS12, "ciphers": "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"}


def cases(files, made):
    ca, deep = files.cert, {"certificate": made["deep"]}
    verify = {"tls_security_level": "verify", "tls_verify_cert_match": "peer.example"}
    may, encrypt = {"tls_security_level": "may"}, {"tls_security_level": "encrypt"}
    sha512 = made["good"].fingerprint("sha512")
    return {
        # name: (parameters, server, outcome, what the server saw)
        "ca-file": ({**verify, "tls_CAfile": ca}, {}, TLS, {}),
        "ca-path": ({**verify, "tls_CApath": ca.parent}, {}, TLS, {}),
        "no-ca": (verify, {}, UNTRUSTED, {}),
        "verify-other": ({**verify, "tls_CAfile": ca, "tls_verify_cert_match": "other.example"}, {}, UNVERIFIED, {}),
        "secure": ({"tls_security_level": "secure", "tls_CAfile": ca,
                    "tls_secure_cert_match": "nexthop, .example"}, {}, TLS, {}),
        "secure-other": ({"tls_security_level": "secure", "tls_CAfile": ca}, {}, UNVERIFIED, {}),
        "anchor": ({**verify, "tls_trust_anchor_file": ca}, {}, TLS, {}),
        "depth": ({**verify, "tls_CAfile": ca}, deep, TLS, {}),
        "depth-0": ({**verify, "tls_CAfile": ca, "tls_scert_verifydepth": "0"}, deep, UNTRUSTED, {}),
        "print": ({"tls_security_level": "fingerprint", "tls_fingerprint_digest": "sha512",
                   "tls_fingerprint_cert_match": sha512}, {}, TLS, {}),
        "protocols": ({**may, "tls_protocols": ">=TLSv1.3"}, TLS12, FAILED, {}),
        "mandatory-protocols": ({**encrypt, "tls_mandatory_protocols": ">=TLSv1.3"}, TLS12, FAILED, {}),
        "not-these-protocols": ({**encrypt, "tls_protocols": ">=TLSv1.3"}, TLS12, TLS, {"tls": "TLSv1.2"}),
        "one-cipher": (encrypt, ONE_CIPHER, TLS, {"cipher": "ECDHE-ECDSA-AES128-SHA"}),
        "exclude": ({**may, "tls_exclude_ciphers": "AES128"}, ONE_CIPHER, FAILED, {}),
        "mandatory-exclude": ({**encrypt, "tls_mandatory_exclude_ciphers": "AES128"}, ONE_CIPHER, FAILED, {}),
        "may-not-excluded": ({**may, "tls_mandatory_exclude_ciphers": "AES128"}, ONE_CIPHER, TLS, {}),
        "grade": ({**may, "tls_ciphers": "null"}, ONE_CIPHER, FAILED, {}),
        "mandatory-grade": ({**encrypt, "tls_mandatory_ciphers": "high",
                             "/tls_high_cipherlist": "ECDHE-ECDSA-AES256-GCM-SHA384"}, ONE_CIPHER, FAILED, {}),
        "medium-list": ({**may, "/tls_medium_cipherlist": "ECDHE-ECDSA-AES256-GCM-SHA384"}, TLS12, TLS,
                        {"cipher": "ECDHE-ECDSA-AES256-GCM-SHA384"}),
        "null-list": ({**may, "tls_ciphers": "null", "/tls_null_cipherlist": "ECDHE-ECDSA-AES128-SHA"}, TLS12, TLS,
                      {"cipher": "ECDHE-ECDSA-AES128-SHA"}),
        "priority": ({**may, "tls_priority": "NORMAL:-CIPHER-ALL:+AES-256-GCM", "tls_protocols": "TLSv1.2"}, {}, TLS,
                     {"cipher": "ECDHE-ECDSA-AES256-GCM-SHA384"}),
        "mandatory-priority": ({**encrypt, "tls_mandatory_priority": "NORMAL:-CIPHER-ALL:+AES-256-GCM",
                                "tls_mandatory_protocols": "TLSv1.2"}, {}, TLS,
                               {"cipher": "ECDHE-ECDSA-AES256-GCM-SHA384"}),
        "certificate": ({**encrypt, "tls_cert_file": made["rsa"].cert, "tls_key_file": made["rsa"].key},
                        {"client_ca": ca}, TLS, {"client_cert": made["rsa"].der}),
        "ec-certificate": ({**encrypt, "tls_eccert_file": made["client"].cert, "tls_eckey_file": made["client"].key},
                           {"client_ca": ca}, TLS, {"client_cert": made["client"].der}),
        "chain": ({**encrypt, "tls_chain_files": made["client"].both}, {"client_ca": ca}, TLS,
                  {"client_cert": made["client"].der}),
        "no-certificate": (encrypt, {"client_ca": ca}, TLS, {"client_cert": None}),
        "server-name": ({**may, "tls_servername": "sni.example"}, {}, TLS, {"sni": "sni.example"}),
        "no-server-name": (may, {}, TLS, {"sni": None}),
        "wrapper": ({**encrypt, "tls_wrappermode": "yes"}, {"wrapper": True}, TLS, {}),
        "old-use": ({"tls_security_level": "", "use_tls": "yes"}, {}, TLS, {}),
        "old-nothing": ({"tls_security_level": ""}, {}, CLEAR, {}),
        "old-enforce": ({"tls_security_level": "", "enforce_tls": "yes", "tls_CAfile": ca}, {}, UNVERIFIED, {}),
        "old-no-name": ({"tls_security_level": "", "enforce_tls": "yes", "tls_enforce_peername": "no"}, {}, TLS, {}),
        "old-per-site": ({"tls_security_level": "", "tls_per_site": "static:MUST"}, {}, UNTRUSTED, {}),
        "policy": ({"tls_security_level": "none", "tls_policy_maps": "static:{encrypt ciphers=high}"}, {}, TLS, {}),
        "bad-policy": ({**encrypt, "tls_policy_maps": "static:{encrypt ciphers}"}, {},
                       "client TLS configuration problem", {}),
        "stalls": ({**encrypt, "starttls_timeout": "2s"}, {"starttls": "stall"}, FAILED, {}),
        "offer": ({"tls_security_level": "none", "tls_note_starttls_offer": "yes", "tls_loglevel": "1"}, {}, CLEAR, {}),
    }


def make_certificates(directory):
    root = certs.Authority(pathlib.Path(directory, "ca"))
    middle = certs.Authority(pathlib.Path(directory, "middle"), name="Middle", parent=root)
    other = pathlib.Path(directory, "own")
    other.mkdir()
    return root, {"good": root.issue("peer.example"), "deep": middle.issue("peer.example"),
                  "rsa": root.issue("client.example", kind="rsa"), "client": root.issue("client.example")}


def main():
    with tempfile.TemporaryDirectory() as directory:
        root, made = make_certificates(directory)
        table, peers, services, routes = cases(root, made), {}, [], []
        for flavor in ("smtp", "lmtp"):
            for name, (parameters, server, _, _) in table.items():
                peer = peers[flavor, name] = TlsPeer(**{"certificate": made["good"], **server}).__enter__()
                options = {(key[1:] if key[0] == "/" else f"{flavor}_{key}"): value
                           for key, value in parameters.items()}
                options.setdefault(f"{flavor}_tls_loglevel", "1")
                words = " ".join(f"-o {{ {key} = {value} }}" for key, value in options.items())
                services.append(f"{flavor}-{name} unix - - n - 1 {flavor} {words}\n")
                routes.append(f"{name}.{flavor}.example {flavor}-{name}:[127.0.0.1]:{peer.port}\n")
        suite = Suite(start=False)
        suite.configure(transport_maps=f"texthash:{suite.write('transport', ''.join(routes))}")
        with (suite.config / "master.cf").open("a") as file:
            file.writelines(services)
        with suite:
            suite.start()
            for flavor, name in peers:
                suite.send("from@example.org", [f"x@{name}.{flavor}.example"])
            suite.wait_log(r" to=<x@\S+>, .*status=", count=len(peers), seconds=90)
            log = suite.lines()
            for (flavor, name), peer in peers.items():
                _, _, wanted, saw = table[name]
                what = f"{flavor} {name}"
                line = next(line for line in log if f"to=<x@{name}.{flavor}.example>" in line)
                result, text = re.search(r"status=(\w+) \((.*)\)$", line).groups()
                if wanted in (TLS, CLEAR):
                    expect_equal(result, "sent", f"{what}: {text}")
                    expect_equal(peer.sessions[-1].tls is not None, wanted == TLS, f"{what}: TLS")
                else:
                    expect(result == "deferred" and wanted in text, f"{what}: {text}")
                    expect_equal(peer.mails, [], f"{what}: mail")
                for field, value in saw.items():
                    expect_equal(getattr(peer.sessions[-1], field), value, f"{what}: {field}")
            for wanted in [r"smtp_use_tls is obsolete", r"lmtp_enforce_tls is obsolete",
                           r"smtp_tls_per_site is obsolete", r"Host offered STARTTLS: \[127\.0\.0\.1\]",
                           r"lmtp_tls_policy_maps, next-hop destination \"\[127\.0\.0\.1\]:\d+\": malformed "
                           r"attribute/value pair \"ciphers\""]:
                expect(any(re.search(wanted, line) for line in log), f"no line {wanted}")
        for peer in peers.values():
            peer.__exit__()


main()

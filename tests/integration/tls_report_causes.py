# SPDX-License-Identifier: MIT
"""Every cause that RFC 8460 section 4.3 has a name for, with real servers, zones and policies."""
import contextlib
import json
import os
import tempfile

import certs
import names
import ports
from sts_host import StsHost, policy
from suite import Suite, expect_equal, expect_match, skip
from tls_peer import TlsPeer

if not names.available():
    skip("nsd is not installed")

#   domain: peer, policy type, result, reason
NONE, STS, TLSA = "no-policy-found", "sts", "tlsa"
CASES = {
    "plain.test": ("good", NONE, "success", ""),
    "clear.test": ("clear", NONE, "starttls-not-supported", "^$"),
    "refused.test": ("refused", NONE, "starttls-not-supported", "^454 4.7.0 TLS not available"),
    "cut.test": ("cut", NONE, "validation-failure", "."),
    "secure.test": ("selfsigned", NONE, "certificate-not-trusted", "self-signed"),
    "sts-good.test": ("good", STS, "success", ""),
    "sts-testing.test": ("other", STS, "certificate-host-mismatch", "^no name matches: somebody.else.test"),
    "sts-testing-clear.test": ("clear", STS, "starttls-not-supported", "^$"),
    "sts-expired.test": ("late", STS, "certificate-expired", "^certificate has expired$"),
    "sts-selfsigned.test": ("selfsigned", STS, "certificate-not-trusted", "self-signed"),
    "sts-unlisted.test": ("good", STS, "validation-failure", "^MX host mx-good.test is not named by the policy"),
    "sts-missing.test": ("good", STS, "sts-policy-fetch-error", "status 404"),
    "sts-rubbish.test": ("good", STS, "sts-policy-invalid", "."),
    "sts-webpki.test": ("good", STS, "sts-webpki-invalid", "."),
    "dane-good.example": ("good", TLSA, "success", ""),
    "dane-wrong.example": ("good", TLSA, "validation-failure", "^no TLSA record matches$"),
    "dane-unusable.example": ("good", TLSA, "tlsa-invalid", "unusable"),
    "dane-forged.example": ("good", TLSA, "dnssec-invalid", "DNSSEC validation failed"),
    "dane-absent.example": ("good", NONE, "success", ""),
    "dane-required.example": ("good", TLSA, "dane-required", "no TLSA records found"),
}
ADDRESSES = {peer: f"127.0.3.{i + 1}" for i, peer in enumerate(
    ("good", "clear", "refused", "cut", "selfsigned", "other", "late"))}


def zones(port, records):
    plain = [f"mx-{peer} A {address}" for peer, address in ADDRESSES.items()]
    signed = []
    for domain, (peer, *_) in CASES.items():
        name, zone = domain.split(".")
        if zone == "test":
            plain.append(f"{name} MX 10 mx-{peer}")
            if name.startswith("sts-"):
                plain += [f"mta-sts.{name} A 127.0.0.1", f'_mta-sts.{name} TXT "v=STSv1; id=1"']
        else:
            signed += [f"{name} MX 10 mx.{name}", f"mx.{name} A {ADDRESSES[peer]}"]
            signed += [f"_{port}._tcp.mx.{name} TLSA {record}" for record in records.get(name, [])]
    return {"test": "\n".join(plain), "example": "\n".join(signed)}


def seen(suite):
    """{domain: what was counted}, of domains with one session each."""
    listed = json.loads(suite.cli("tlsrpt", "--json", check=False).stdout)
    found = {}
    for account in listed:
        [count] = account["policies"]
        expect_equal(count["successes"] + count["failures"], 1, f"sessions of {account['domain']}")
        found[account["domain"]] = count
    return found


with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
    authority = certs.Authority(directory + "/ca")
    authority.cert.parent.chmod(0o755)
    authority.cert.chmod(0o644)
    os.chmod(directory, 0o755)
    good, other = authority.issue("mx-good.test"), authority.issue("somebody.else.test")
    certificate = {"other": other, "late": authority.expired("mx-late.test"),
                   "selfsigned": authority.issue("mx-selfsigned.test", signed=False)}
    starttls = {"clear": "no", "refused": "454", "cut": "half"}
    port = ports.free_port(ADDRESSES["good"])
    for peer, address in ADDRESSES.items():
        stack.enter_context(TlsPeer(certificate.get(peer, good), address=address, port=port,
                                    starttls=starttls.get(peer, "yes")))
    sts = stack.enter_context(StsHost(authority.issue(
        *(f"mta-sts.{domain}" for domain in CASES if domain != "sts-webpki.test"))))
    for domain, (peer, *_) in CASES.items():
        sts.policies[domain] = policy("testing" if "testing" in domain else "enforce", [f"mx-{peer}.test"])
    sts.policies["sts-unlisted.test"] = policy("enforce", ["mx.elsewhere.test"])
    sts.policies["sts-missing.test"] = None
    sts.policies["sts-rubbish.test"] = "this is no policy\r\n"
    dns = stack.enter_context(names.NameServer(directory + "/dns", zones(port, {
        "dane-good": [good.tlsa()], "dane-wrong": [other.tlsa()], "dane-unusable": ["0 1 1 " + "ab" * 32],
        "dane-forged": ["3 1 1 " + "0f" * 32]}), signed=["example"], tamper=[("0f" * 32, "0e" * 32)]))
    with Suite(dns_resolvers=dns.resolver, dns_trust_anchor_file=dns.anchor_file, smtp_dns_support_level="dnssec",
               smtp_tls_security_level="dane", smtp_tls_mta_sts_enable="yes", smtp_tls_CAfile=authority.cert,
               mta_sts_CAfile=authority.cert, mta_sts_port=sts.port, smtp_tcp_port=port, smtp_tlsrpt_enable="yes",
               smtp_tls_session_cache_database="", smtp_tls_policy_maps="inline:{{secure.test = secure} "
               "{dane-required.example = dane-only}}") as suite:
        for domain in CASES:
            suite.send("from@sender.example", [f"to@{domain}"])
        suite.wait_log(r" to=<to@\S+>, .*status=", count=len(CASES), seconds=60)
        ports.wait_until(lambda: len(seen(suite)) >= len(CASES), 10, "the last event")
        found = seen(suite)
        for domain, (peer, kind, result, reason) in CASES.items():
            count = found[domain]
            got = count["lines"][0]["result"] if count["lines"] else "success"
            expect_equal((count["policy"], got), (kind, result), domain)
            if result != "success":
                expect_match(reason, count["lines"][0]["reason"], domain)
            of_host = f"mx.{domain}" if kind == TLSA else domain
            expect_equal(count["policy_domain"], of_host, domain)
        expect_equal(found["dane-good.example"]["policy_strings"], [good.tlsa()], "records")
        expect_equal(found["sts-testing.test"]["policy_strings"],
                     ["version: STSv1", "mode: testing", "mx: mx-other.test", "max_age: 86400"], "the policy")
        for domain in ("sts-missing.test", "sts-rubbish.test", "sts-webpki.test"):
            expect_equal(found[domain]["policy_strings"], [], domain)

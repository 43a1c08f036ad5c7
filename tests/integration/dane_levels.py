# SPDX-License-Identifier: MIT
"""DANE (RFC 7672) against signed zones: what is delivered, what waits, and why. One line per domain.

# shows: smtp_tls_security_level smtp_dns_support_level smtp_tls_dane_insecure_mx_policy tls_dane_digests
# shows: smtp_tls_force_insecure_host_tlsa_lookup lmtp_tls_force_insecure_host_tlsa_lookup
# shows: lmtp_tls_security_level lmtp_tls_dane_insecure_mx_policy lmtp_dns_support_level
"""
import json
import tempfile

import certs
import names
import ports
from suite import Suite, expect, expect_equal, skip
from tls_peer import TlsPeer

SENT, ENCRYPTED, OPTIONAL = "dane", "encrypt", "may"
UNTRUSTED = "Server certificate not trusted"
UNVERIFIED = "Server certificate not verified"
NOT_OFFERED = "TLS is required, but was not offered by host"
LOOKUP = "TLSA lookup error for"
NOT_FOUND = "Host or domain name not found"
#   domain          hosts           sent at which level, or why it waits
CASES = {
    "ee":           ("good",        SENT),
    "ee-wrong":     ("wrong",       UNTRUSTED),
    "ee-name":      ("othername",   SENT),         # usage 3 has no names
    "ee-expired":   ("late",        SENT),         # and no dates
    "ta":           ("ta",          SENT),
    "ta-key":       ("ta-key",      SENT),
    "ta-above":     ("ta-above",    SENT),         # the root is not in the chain, but in the record
    "ta-wrong":     ("ta-wrong",    UNTRUSTED),
    "ta-name":      ("ta-name",     UNVERIFIED),
    "unusable":     ("unusable",    ENCRYPTED),
    "unusable-no":  ("unusable-no", NOT_OFFERED),
    "no-starttls":  ("no-starttls", NOT_OFFERED),
    "absent":       ("absent",      OPTIONAL),
    "absent-only":  ("absent",      "no TLSA records found"),
    "unusable-only": ("unusable",   "TLSA records unusable"),
    "ee-only":      ("good",        SENT),
    "alias":        ("alias",       SENT),
    "own-alias":    ("own-alias",   SENT),         # the records stand at the alias
    "agile":        ("agile",       SENT),         # a weak record that is wrong does not count
    "agile-wrong":  ("agile-wrong", UNTRUSTED),    # nor does one that is right
    "forged":       ("forged",      LOOKUP),
    "forged-only":  ("forged",      LOOKUP),
    "second":       ("forged good", SENT),         # the next host
}


def zone_text(port, made):
    leaf, other, late = made["leaf"], made["other"], made["late"]
    wrong = other.tlsa(3, 1, 1)
    hosts = {  # address, records
        "good": ("127.0.2.1", [leaf.tlsa()]),
        "wrong": ("127.0.2.1", [wrong]),
        "othername": ("127.0.2.2", [other.tlsa()]),
        "late": ("127.0.2.3", [late.tlsa()]),
        "ta": ("127.0.2.4", [made["inner"].tlsa(2, 0, 1)]),
        "ta-key": ("127.0.2.5", [made["inner"].tlsa(2, 1, 2)]),
        "ta-above": ("127.0.2.6", [made["root"].tlsa(2, 0, 0)]),
        "ta-wrong": ("127.0.2.4", [made["stranger"].tlsa(2, 0, 1)]),
        "ta-name": ("127.0.2.4", [made["inner"].tlsa(2, 0, 1)]),
        "unusable": ("127.0.2.1", ["0 1 1 " + wrong[6:], "3 1 9 " + wrong[6:], "3 1 1 00"]),
        "unusable-no": ("127.0.2.7", ["1 1 1 " + wrong[6:]]),
        "no-starttls": ("127.0.2.7", [leaf.tlsa()]),
        "absent": ("127.0.2.1", []),
        "agile": ("127.0.2.1", [leaf.tlsa(3, 1, 2), wrong]),
        "agile-wrong": ("127.0.2.1", [leaf.tlsa(3, 1, 1), other.tlsa(3, 1, 2)]),
        "forged": ("127.0.2.1", ["3 1 1 " + "0f" * 32]),
    }
    lines = []
    for host, (address, records) in hosts.items():
        lines.append(f"{host}.mx A {address}")
        lines += [f"_{port}._tcp.{host}.mx TLSA {record}" for record in records]
    lines += ["alias.mx CNAME good.mx", "own-alias.mx CNAME absent.mx", f"_{port}._tcp.own-alias.mx TLSA {leaf.tlsa()}"]
    for domain, (wanted, _) in CASES.items():
        lines += [f"{domain} MX {10 * (i + 1)} {host}.mx" for i, host in enumerate(wanted.split())]
    return "\n".join(lines)


def certificates(directory):
    root = certs.Authority(directory + "/ca", "Root")
    inner = certs.Authority(directory + "/ca", "Inner", parent=root)
    return {"root": root, "inner": inner, "stranger": certs.Authority(directory + "/ca", "Stranger"),
            "leaf": root.issue("unrelated.example.org"), "other": root.issue("other.example.org"),
            "late": root.expired("late.mx.example"), "ta": inner.issue("ta.mx.example"),
            "ta-key": inner.issue("ta-key.mx.example"), "ta-above": inner.issue("ta-above.example")}


def outcome(suite, domain):
    line = next(line for line in suite.lines() if f"to=<x@{domain}>" in line)
    tls = line.split(" tls=")[1].split(",")[0] if " tls=" in line else ""
    return line, tls


def main():
    if not names.available():
        skip("nsd is not installed")
    with tempfile.TemporaryDirectory() as directory:
        made = certificates(directory)
        port = ports.free_port("127.0.2.1")
        peers = {address: TlsPeer(made[certificate], address=address, port=port, **more) for address, certificate, more in [
            ("127.0.2.1", "leaf", {}), ("127.0.2.2", "other", {}), ("127.0.2.3", "late", {}), ("127.0.2.4", "ta", {}),
            ("127.0.2.5", "ta-key", {}), ("127.0.2.6", "ta-above", {}), ("127.0.2.7", "leaf", {"starttls": "no"})]}
        record = made["leaf"].tlsa()
        zones = {
            "example": zone_text(port, made),
            "plain": "signed-host MX 10 good.mx.example.\nhost MX 10 mx.host\nmx.host A 127.0.2.1\n",
            "old": f"d MX 10 mx\nmx A 127.0.2.1\n_{port}._tcp.mx TLSA {record}",
            # An address that is not signed, and records that are.
            "island": "mx A 127.0.2.1\n",
            "_tcp.mx.island": f"_{port} TLSA {record}\n",
        }
        with names.NameServer(directory + "/dns", zones, signed=["example", "old", "_tcp.mx.island"], expired=["old"],
                              tamper=[("0f" * 32, "0e" * 32)]) as dns:
            run(directory, dns, port, peers)
        for peer in peers.values():
            peer.__exit__()


def run(directory, dns, port, peers):
    for peer in peers.values():
        peer.__enter__()
    only = " ".join(f"{{{domain}.example = dane-only}}" for domain in CASES if domain.endswith("-only"))
    settings = {"dns_resolvers": dns.resolver, "dns_trust_anchor_file": dns.anchor_file, "smtp_tcp_port": port,
                "smtp_dns_support_level": "dnssec", "smtp_tls_security_level": "dane", "smtp_tls_loglevel": 1}
    with Suite(**settings, smtp_tls_policy_maps=f"inline:{{{only}}}") as suite:
        domains = {f"{domain}.example": wanted for domain, (_, wanted) in CASES.items()}
        domains |= {"signed-host.plain": "half-dane", "host.plain": OPTIONAL, "d.old": NOT_FOUND, "mx.island": OPTIONAL}
        for domain in domains:
            suite.send("from@example.org", [f"x@{domain}"])
        suite.wait_log(r" to=<x@\S+>, .*status=", count=len(domains), seconds=60)
        for domain, wanted in domains.items():
            line, tls = outcome(suite, domain)
            if wanted in (SENT, ENCRYPTED, OPTIONAL, "half-dane"):
                expect("status=sent" in line, f"{domain}: {line}")
                expect_equal(tls, wanted, f"{domain}: {line}")
            else:
                expect("status=deferred" in line and wanted in line, f"{domain}: wanted {wanted}: {line}")
        # SNI is the name where the records stand.
        asked = {session.sni for session in peers["127.0.2.1"].sessions}
        expect({"good.mx.example", "own-alias.mx.example"} <= asked, f"server names: {asked}")
        expect_equal(peers["127.0.2.7"].mails, [], "mail to the server without TLS")
        explain(suite)
        # The self-test: one of the trust anchors is of a zone that nobody signs any more.
        suite.wait_log("warning: DANE cannot work here: .*signature expired.* the zone old ")
    # Two more answers to unsigned records; and a resolver that is well.
    anchor = dns.anchor_file.with_name("one-anchor")
    anchor.write_text("".join(line for line in dns.anchor_file.read_text().splitlines(True) if not line.startswith("old.")))
    settings["dns_trust_anchor_file"] = anchor
    with Suite(**settings, smtp_tls_dane_insecure_mx_policy="may",
               smtp_tls_force_insecure_host_tlsa_lookup="yes", tls_dane_digests="sha512") as suite:
        for domain, level in [("signed-host.plain", OPTIONAL), ("ee.example", ENCRYPTED), ("mx.island", ENCRYPTED)]:
            suite.send("from@example.org", [f"x@{domain}"])
            suite.wait_log(rf"to=<x@{domain}>.* tls={level},.*status=sent")
        expect_equal(json.loads(suite.cli("--json", "tls", "ee.example").stdout)[0]["dnssec_trouble"], "", "self-test")
        expect_equal([line for line in suite.lines() if "DANE cannot work" in line], [], "self-test")
    keeps_connections(settings)
    lmtp_asks_for_records(settings, port)
    del settings["smtp_dns_support_level"]
    with Suite(**settings) as suite:  # as in Postfix: optional TLS, and a warning
        suite.send("from@example.org", ["x@ee.example"])
        suite.wait_log(r"to=<x@ee\.example>.* tls=may,.*status=sent")
        suite.wait_log("warning: DANE cannot work here: DNSSEC look-ups are off")


def keeps_connections(settings):
    """The next mail to a destination takes the connection that is open, whatever host would come first."""
    with Suite(**settings, smtp_connection_cache_destinations="second.example",
               smtp_connection_cache_time_limit="60s") as suite:
        for uses in ("", "conn_use=2, "):
            suite.send("from@example.org", ["x@second.example"])
            suite.wait_log(rf"to=<x@second\.example>, relay=good\S+, {uses}delay.* tls=dane,.*status=sent")
        passed_over = [line for line in suite.lines() if "TLSA lookup error for forged.mx.example" in line]
        expect_equal(len(passed_over), 1, f"hosts passed over: {passed_over}")


def lmtp_asks_for_records(settings, port):
    """Of the host that it is told: LMTP has no MX records, so a policy for unsigned ones changes nothing."""
    resolver = {name: settings[name] for name in ("dns_resolvers", "dns_trust_anchor_file")}
    routes = " ".join(f"{{{host} = lmtp:inet:{host}:{port}}}" for host in ("good.mx.example", "mx.island"))
    for force, level in [("no", OPTIONAL), ("yes", SENT)]:
        with Suite(**resolver, transport_maps=f"inline:{{{routes}}}", lmtp_dns_support_level="dnssec",
                   lmtp_tls_security_level="dane", lmtp_tls_dane_insecure_mx_policy="may",
                   lmtp_tls_force_insecure_host_tlsa_lookup=force) as suite:
            for host, wanted in [("good.mx.example", SENT), ("mx.island", level)]:
                suite.send("from@example.org", [f"x@{host}"])
                suite.wait_log(rf"postrider/lmtp\[.*to=<x@{host}>.* tls={wanted},.*status=sent")


def explain(suite):
    """postrider tls gives the reasons."""
    def ask(domain):
        return json.loads(suite.cli("--json", "tls", domain).stdout)

    (good,) = ask("ee.example")
    expect_equal(good["level"], "dane", "ee.example")
    expect("the MX records are signed" in good["reasons"] and "._tcp.good.mx.example TLSA 3 1 1 " in good["reasons"],
           good["reasons"])
    expect_equal(good["server_name"], "good.mx.example", "server name")
    expect("signature expired" in good["dnssec_trouble"], good["dnssec_trouble"])
    expect_equal(ask("unusable.example")[0]["level"], "encrypt", "unusable.example")
    text = suite.cli("tls", "absent.example").stdout
    expect("no TLSA records found" in text and "level         may" in text, text)
    refused = suite.cli("tls", "forged.example", check=False)
    expect(refused.returncode == 1 and "TLSA lookup error for forged.mx.example" in refused.stdout, refused.stdout)
    (only,) = json.loads(suite.cli("--json", "tls", "absent-only.example", check=False).stdout)
    expect(only["asked"].startswith("dane-only") and only["trouble"] == "no TLSA records found", str(only))


main()

# SPDX-License-Identifier: MIT
"""Mail under policies of MTA-STS: what enforce, testing and none let go, and to whom.

# shows: smtp_tls_mta_sts_enable smtp_tls_enforce_sts_mx_patterns tlsmgr_service_name
"""
import contextlib
import os
import signal
import tempfile

import certs
import names
import ports
import procs
from sts_host import StsHost, policy
from suite import Suite, expect, expect_equal, skip
from tls_peer import TlsPeer

if not names.available():
    skip("nsd is not installed")

HOSTS = {"mx.provider": "127.0.1.1", "wrong.provider": "127.0.1.2", "clear.provider": "127.0.1.3",
         "evil.attacker": "127.0.1.4", "new.provider": "127.0.1.5", "far.down.provider": "127.0.1.6"}
#  domain: its MX hosts, mode, patterns of its policy
DOMAINS = {
    "enforced": (["mx.provider"], "enforce", ["mx.provider.test"]),
    "shared": (["mx.provider"], "enforce", ["*.provider.test"]),  # the MX of another domain, too
    "tested": (["mx.provider"], "testing", ["other.provider.test"]),
    "testedclear": (["clear.provider"], "testing", ["clear.provider.test"]),
    "testedwrong": (["wrong.provider"], "testing", ["wrong.provider.test"]),
    "wrongcert": (["wrong.provider"], "enforce", ["wrong.provider.test"]),
    "stripped": (["clear.provider"], "enforce", ["*.provider.test"]),
    "unlisted": (["evil.attacker", "mx.provider"], "enforce", ["mx.provider.test"]),
    "redirected": (["evil.attacker"], "enforce", ["mx.provider.test"]),
    "moved": (["new.provider"], "enforce", ["old.provider.test"]),
    "written": (["wrong.provider"], "enforce", ["wrong.provider.test"]),  # smtp_tls_policy_maps has it
    "deep": (["far.down.provider"], "enforce", ["*.provider.test"]),  # two labels below
    "deeper": (["far.down.provider"], "enforce", ["*.down.provider.test"]),
    "modenone": (["wrong.provider"], "none", []),
    "nopolicy": (["wrong.provider"], None, []),
}


def zone(ids):
    lines = [f"{host} A {address}" for host, address in HOSTS.items()]
    for domain, (hosts, mode, _) in DOMAINS.items():
        lines += [f"{domain} MX {i + 1} {host}" for i, host in enumerate(hosts)]
        if mode:
            lines += [f"mta-sts.{domain} A 127.0.0.1", f'_mta-sts.{domain} 0 TXT "v=STSv1; id={ids.get(domain, 1)}"']
    return {"test": "\n".join(lines)}


def send(domain):
    return suite.send("from@example.org", [f"to@{domain}.test"])


def sent(domain):
    """To whom, and how well protected."""
    match = suite.wait_log(rf"{send(domain)}: to=<to@{domain}\.test>, relay=([^\[]*)\[.*status=(\w+)")
    expect_equal(match.group(2), "sent", f"{domain}: {match.string}")
    return match.group(1)


def waits(domain, why):
    match = suite.wait_log(rf"{send(domain)}: to=<to@{domain}\.test>, .*status=(\w+) \((.*)\)$")
    expect_equal(match.group(1), "deferred", f"{domain}: {match.string}")
    expect(why in match.group(2), f"{domain}: {match.group(2)!r} in place of {why!r}")
    return match.string


with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
    authority = certs.Authority(directory + "/ca")
    authority.cert.parent.chmod(0o755)
    authority.cert.chmod(0o644)
    os.chmod(directory, 0o755)
    port = ports.free_port("127.0.1.1")
    issued = {"wrong.provider": "somebody.else.test", "evil.attacker": "mx.provider.test"}
    peers = {host: stack.enter_context(TlsPeer(
        authority.issue(issued.get(host, host + ".test")), address=address, port=port, name=host + ".test",
        starttls="no" if host == "clear.provider" else "yes")) for host, address in HOSTS.items()}
    host = stack.enter_context(StsHost(authority.issue(*(f"mta-sts.{domain}.test" for domain in DOMAINS))))
    for domain, (_, mode, patterns) in DOMAINS.items():
        if mode:
            host.policies[f"{domain}.test"] = policy(mode, patterns)
    dns_port = ports.free_port()
    settings = {"smtp_tls_security_level": "may", "smtp_tls_mta_sts_enable": "yes", "smtp_tls_loglevel": 1,
                "smtp_tls_CAfile": authority.cert, "mta_sts_CAfile": authority.cert, "mta_sts_port": host.port,
                "smtp_tcp_port": port, "mta_sts_fetch_timeout": "10s", "minimal_backoff_time": "1s"}
    with names.NameServer(directory + "/dns", zone({}), port=dns_port) as dns, \
            Suite(dns_resolvers=dns.resolver, smtp_tls_policy_maps="inline:{written.test=may}", **settings) as suite:
        for domain in ("enforced", "shared", "unlisted"):
            expect_equal(sent(domain), "mx.provider.test", domain)
        suite.wait_log(r"smtp\[\d+\]: Verified TLS connection established to mx\.provider\.test\[127\.0\.1\.1\]")
        expect_equal(peers["mx.provider"].sessions[0].sni, "mx.provider.test", "SNI")
        waits("wrongcert", "Server certificate not verified")
        waits("stripped", "TLS is required, but was not offered")
        waits("redirected", "MX host evil.attacker.test is not named by the MTA-STS policy of redirected.test")
        expect_equal(peers["evil.attacker"].sessions, [], "connections to a host that the policy leaves out")
        expect_equal(peers["clear.provider"].mails, [], "mail in the clear")

        # Testing: delivered, and the log says what would not have been.
        expect_equal(sent("tested"), "mx.provider.test", "tested")
        suite.wait_log(r"warning: MTA-STS policy of tested\.test \(mode testing\) does not name MX host mx\.provider")
        expect_equal(sent("testedclear"), "clear.provider.test", "testedclear")
        suite.wait_log(r"warning: MTA-STS policy of testedclear\.test \(mode testing\) would not let mail go to "
                       r"clear\.provider\.test\[127\.0\.1\.3\]:\d+: no TLS")
        expect_equal(sent("testedwrong"), "wrong.provider.test", "testedwrong")
        suite.wait_log(r"warning: MTA-STS policy of testedwrong\.test \(mode testing\) would not let mail go to "
                       r"wrong\.provider\.test\[127\.0\.1\.2\]:\d+: .*name")

        # An entry for the domain goes before its policy.
        expect_equal(sent("written"), "wrong.provider.test", "written")
        waits("deep", "MX host far.down.provider.test is not named by the MTA-STS policy of deep.test")

        # None, or no policy at all: as without.
        expect_equal(sent("modenone"), "wrong.provider.test", "modenone")
        expect_equal(sent("nopolicy"), "wrong.provider.test", "nopolicy")

        # The domain has moved: mail waits until the new policy is announced, not until the old one expires.
        waiting = waits("moved", "is not named by the MTA-STS policy of moved.test").split(": to=")[0].split()[-1]
        dns.stop()
        host.policies["moved.test"] = policy("enforce", ["new.provider.test"])
        with names.NameServer(directory + "/dns2", zone({"moved": 2}), port=dns_port):
            def delivered():
                suite.cli("retry", waiting, check=False)
                return any(f"{waiting}: to=<to@moved.test>" in line and "status=sent" in line
                           for line in suite.lines())
            ports.wait_until(delivered, 30, "delivery under the new policy")

            # Without tlsmgr there are no policies, and mail goes on.
            for pid in suite.pids("tlsmgr"):
                os.kill(pid, signal.SIGKILL)
                procs.wait_gone([pid], 10)
            expect_equal(sent("enforced"), "mx.provider.test", "after the death of tlsmgr")

    # Hosts are not left out: then their certificate has a name of the policy.
    with names.NameServer(directory + "/dns3", zone({}), port=dns_port) as dns, \
            Suite(dns_resolvers=dns.resolver, smtp_tls_enforce_sts_mx_patterns="no", **settings) as suite:
        expect_equal(sent("redirected"), "evil.attacker.test", "redirected")
        waits("wrongcert", "Server certificate not verified")
        expect_equal(sent("deeper"), "far.down.provider.test", "deeper")
        waits("deep", "Server certificate not verified")  # a wildcard is one label

    # No such service: one warning, and mail goes as without policies.
    with names.NameServer(directory + "/dns4", zone({}), port=dns_port) as dns, \
            Suite(dns_resolvers=dns.resolver, tlsmgr_service_name="elsewhere", **settings) as suite:
        expect_equal(sent("wrongcert"), "wrong.provider.test", "without tlsmgr")
        expect_equal(sent("nopolicy"), "wrong.provider.test", "without tlsmgr")
        expect_equal(sum("elsewhere is away, going on without" in line for line in suite.lines()), 1, "warnings")

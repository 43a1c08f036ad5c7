# SPDX-License-Identifier: MIT
"""tlsmgr finds policies of MTA-STS by DNS and HTTPS, keeps them, and takes rubbish for none.

# shows: mta_sts_cache_database mta_sts_CAfile mta_sts_fetch_timeout mta_sts_port
"""
import json
import tempfile
import threading
import time

import certs
import names
import ports
from service_client import ServiceClient
from sts_host import StsHost, answer, policy
from suite import Suite, expect, expect_equal, skip

ASK = 102
USUAL, RECHECK, REFRESH, DROP, CACHED = range(5)
MODES = ["none", "testing", "enforce"]

if not names.available():
    skip("nsd is not installed")


def ask(domain, wish=USUAL):
    with ServiceClient(suite.dir / "spool/private/tlsmgr", timeout=60) as client:
        return client.ask(ASK, domain=domain, wish=wish)


def found(domain, wish=USUAL):
    got = ask(domain, wish)
    return (MODES[got.get("mode", 0)], [mx.decode() for mx in got.get("mx", [])]) if got["present"] else None


def refused(domain, why):
    got = ask(domain)
    expect(not got["present"], f"{domain}: {got}")
    expect(why in got["reason"].decode(), f"{domain}: {got['reason']} in place of {why}")


DOMAINS = ["good", "misspelt", "empty", "large", "slow", "redirect", "html", "missing", "nohost", "wildcard",
           "norecord", "badrecord", "wrongname", "dripping", "chunked"]


def zone(ids=None):
    lines = []
    for name in DOMAINS:
        if name != "nohost":
            lines.append(f"mta-sts.{name} A 127.0.0.1")
        if name == "badrecord":
            lines.append(f'_mta-sts.{name} TXT "v=STSv1; id=not-an-id!"')
        elif name != "norecord":
            lines.append(f'_mta-sts.{name} 0 TXT "v=STSv1; " "id={(ids or {}).get(name, "1")};"')
    return {"test": "\n".join(lines)}


def stall(connection):
    connection.wfile.flush()
    released.wait(60)


def drip(connection):
    """Never silent, never done."""
    connection.send_response(200)
    connection.send_header("Content-Type", "text/plain")
    connection.end_headers()
    while not released.wait(0.2):
        connection.wfile.write(b"x")
        connection.wfile.flush()


def chunked(connection):
    """An endless body without a length."""
    connection.send_response(200)
    connection.send_header("Content-Type", "text/plain")
    connection.end_headers()
    for _ in range(100000):
        connection.wfile.write(b"mx: a.test\n" * 100)


released = threading.Event()

with tempfile.TemporaryDirectory() as directory:
    authority = certs.Authority(directory + "/ca")
    authority.cert.chmod(0o644)
    (authority.cert.parent).chmod(0o755)
    own = authority.issue("mta-sts.good.test", *(f"mta-sts.{d}.test" for d in DOMAINS if d != "wrongname"))
    dns_port = ports.free_port()
    with StsHost(own) as host:
        good = policy("enforce", ["mx.good.test", "*.example.test"])
        host.policies.update({
            "good.test": good,
            "wildcard.test": policy("testing", ["*.wildcard.test"]),
            "misspelt.test": good.replace("enforce", "enforced"),
            "empty.test": "",
            "large.test": good + "x: y\r\n" * 20000,
            "slow.test": stall,
            "dripping.test": drip,
            "chunked.test": chunked,
            "redirect.test": answer("", 302, headers=[("Location", f"https://mta-sts.good.test:{host.port}"
                                                                   "/.well-known/mta-sts.txt")]),
            "html.test": answer(good, kind="text/html"),
            "wrongname.test": good,
            "norecord.test": good,
            "badrecord.test": good,
        })
        settings = {"mta_sts_port": host.port, "mta_sts_CAfile": authority.cert, "mta_sts_fetch_timeout": "3s",
                    "mta_sts_cache_database": "lmdb:$data_directory/policies"}
        with names.NameServer(directory + "/dns", zone(), port=dns_port) as dns, \
                Suite(dns_resolvers=dns.resolver, **settings) as suite:
            enforce = ("enforce", ["mx.good.test", "*.example.test"])
            expect_equal(found("good.test"), enforce, "good.test")
            expect_equal(found("wildcard.test"), ("testing", ["*.wildcard.test"]), "wildcard.test")
            expect_equal(found("good.test"), enforce, "good.test again")
            expect_equal(host.asked.count("good.test"), 1, "fetches")
            expect((suite.dir / "data/policies.lmdb").exists(), "the file is where the parameter says")
            refused("norecord.test", "no TXT record")
            refused("badrecord.test", "id of the TXT record is malformed")
            refused("nohost.test", "mta-sts.nohost.test: has no address")
            refused("missing.test", "status 404")
            refused("redirect.test", "status 302")
            refused("html.test", "text/html")
            refused("misspelt.test", "mode is none of")
            refused("empty.test", "no version")
            refused("large.test", "more than 65536 bytes")
            refused("chunked.test", "more than 65536 bytes")
            refused("wrongname.test", "certificate")
            begun = time.monotonic()
            refused("slow.test", "timed out")
            refused("dripping.test", "timed out")
            expect(time.monotonic() - begun < 30, "mta_sts_fetch_timeout was 3 s each")
            suite.wait_log(r"tlsmgr\[\d+\]: good\.test: policy of MTA-STS: mode=enforce, max_age=86400, id=1, "
                           r"mx=mx\.good\.test \*\.example\.test")
            suite.wait_log(r"tlsmgr\[\d+\]: warning: redirect\.test: policy of MTA-STS: https://.* status 302; "
                           r"none applies")
            expect("norecord.test" not in host.asked, "nothing is fetched without a record")
            expect_equal(host.asked.count("redirect.test"), 1, "fetches of redirect.test")
            refused("redirect.test", "status 302")
            expect_equal(host.asked.count("redirect.test"), 1, "fetches of redirect.test after a failure")
            released.set()

        # Another process, DNS away, the policy host with a certificate of nobody: the cache counts.
        host.use(authority.issue("mta-sts.good.test", signed=False))
        with names.NameServer(directory + "/dns2", zone(), port=dns_port) as dns, \
                Suite(dns_resolvers=dns.resolver, **settings) as suite:
            refused("good.test", "certificate")
            host.use(own)
            expect_equal(found("good.test", REFRESH), enforce, "refreshed by hand")
            dns.stop()
            suite.stop()
            suite.start()
            expect_equal(found("good.test"), enforce, "after a restart without DNS")
            expect_equal(found("good.test", RECHECK), enforce, "rechecked without DNS")
            dns.start()
            host.use(authority.issue("mta-sts.good.test", signed=False))
            expect_equal(found("good.test", REFRESH), enforce, "the policy host has no good certificate")
            host.use(own)

            # A new id brings the new policy; the record gone does not take it away.
            host.policies["good.test"] = policy("testing", ["new.good.test"])
            expect_equal(found("good.test"), enforce, "before the new id")
            dns.stop()
            with names.NameServer(directory + "/dns3", zone({"good": "2"}), port=dns_port):
                # A resolver may keep what lives for 0 seconds to the end of the second.
                ports.wait_until(lambda: found("good.test", RECHECK) == ("testing", ["new.good.test"]), 10,
                                 "the policy of the new id")
            without = {"test": "mta-sts.good A 127.0.0.1"}
            with names.NameServer(directory + "/dns4", without, port=dns_port):
                expect_equal(found("good.test", RECHECK), ("testing", ["new.good.test"]), "record gone")
            shown = suite.cli("sts", "--cached", "GOOD.test").stdout
            expect("good.test:\n  mode     testing\n  mx       new.good.test\n  id       2\n" in shown, shown)
            dropped = json.loads(suite.cli("--json", "sts", "--drop", "good.test").stdout)
            expect_equal([dropped[n] for n in ("present", "mode", "mx", "id")],
                         ["true", "testing", "new.good.test", "2"], "what was dropped")
            gone = suite.cli("sts", "--cached", "good.test", check=False)
            expect_equal((gone.returncode, gone.stdout),
                         (66, "good.test: no policy applies: none is in the cache\n"), "what is shown then")
            expect_equal(suite.cli("sts", "[127.0.0.1]", check=False).returncode, 64, "an address")
            expect_equal(found("norecord.test", DROP), None, "nothing to drop")
            expect_equal(found("good.test", CACHED), None, "dropped")

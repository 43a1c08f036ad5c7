# SPDX-License-Identifier: MIT
"""A zone with many keys of one tag, and many signatures by that tag, none of which is right: each would
have to be tried with each key (CVE-2023-50387). It costs little, its mail waits, and the mail of others
goes on.

# shows: dns_trust_anchor_file
"""
import ipaddress
import struct

import dnssec
import sinks
from hostile_names import A, MX, HostileServer, encode, mx, reply
from suite import Suite, expect, expect_equal

KEYS, SIGNATURES = 110, 180  # as many as replies of 64 kB hold
BOMBS = 3


def rule(**by_type):
    """by_type: the whole answer for a type."""
    sets = {getattr(dnssec, kind, None) or {"A": A, "MX": MX}[kind]: records
            for kind, records in by_type.items()}

    def answer(question):
        whole = reply(question, sets.get(question.type, ()))
        return whole if question.tcp or len(whole) <= 1232 else reply(question, (), flags=0x8380)
    return answer


def mx_rdata(host):
    return struct.pack(">H", 10) + encode(host)


def signed_zone(zone):
    """Mail for it goes to 127.0.1.1, and that is signed."""
    key, host = dnssec.Key(zone), f"mx.{zone}"
    address = ipaddress.ip_address("127.0.1.1").packed
    return key, {zone: rule(DNSKEY=dnssec.signed(key, zone, dnssec.DNSKEY, [key.rdata]),
                            MX=dnssec.signed(key, zone, MX, [mx_rdata(host)])),
                 host: rule(A=dnssec.signed(key, host, A, [address]))}


def bomb(zone, tag=0x4b54):
    key = dnssec.Key(zone)
    keys = [key.rdata] + [dnssec.key_with_tag(tag) for _ in range(KEYS)]
    signatures = dnssec.wrong_signatures(zone, zone, MX, tag, SIGNATURES)
    return key, {zone: rule(DNSKEY=dnssec.signed(key, zone, dnssec.DNSKEY, keys),
                            MX=[mx(10, f"mx.{zone}"), *signatures])}


def cpu(suite):
    """Seconds of all clients, whoever delivered."""
    total = 0
    for pid in suite.pids("smtp"):
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


good = [f"good{n}.example" for n in range(4)]
bombs = [f"bomb{n}.example" for n in range(BOMBS)]
anchors, rules = "", {}
for key, zone_rules in [*map(signed_zone, good), *map(bomb, bombs)]:
    anchors += key.anchor
    rules.update(zone_rules)

with HostileServer(rules) as dns, sinks.Sink(host="127.0.1.1") as sink, \
        Suite(start=False, dns_resolvers=dns.resolver, smtp_tcp_port=sink.port, dns_time_limit="30s",
              minimal_backoff_time="1h", maximal_backoff_time="1h", queue_run_delay="1h") as suite:
    suite.configure(dns_trust_anchor_file=suite.write('anchors', anchors))
    suite.start()
    # What each side costs: two zones that are right, and one that is not, each for the first time.
    suite.send("", ["to@warm.example"])  # bounced: the programs run
    suite.wait_log(r"to=<to@warm\.example>.*status=bounced")
    before = cpu(suite)
    for zone in good[:2]:
        suite.send("", [f"to@{zone}"])
        suite.wait_log(rf"to=<to@{zone}>.*status=sent")
    plain = (cpu(suite) - before) / 2
    before = cpu(suite)
    suite.send("", [f"to@{bombs[0]}"])
    suite.wait_log(rf"to=<to@{bombs[0]}>.*dsn=4\.4\.3, status=deferred .*DNSSEC validation failed", seconds=120)
    costly = cpu(suite) - before
    # Three signatures of a right zone were checked. A wrong one may have some dozens; all of its would
    # be KEYS * SIGNATURES / 3 = 6600 times as much.
    expect(plain > 0 and costly < 100 * plain, f"{costly:.3f} s, a plain zone {plain:.4f} s")
    print(f"{costly:.3f} s, a plain zone {plain:.4f} s: {costly / plain:.0f} times as much")

    # Mail of others beside it.
    for zone in [*bombs[1:], *good[2:]]:
        suite.send("", [f"to@{zone}"])
    for zone in good[2:]:
        suite.wait_log(rf"to=<to@{zone}>.*status=sent")
    for zone in bombs[1:]:
        suite.wait_log(rf"to=<to@{zone}>.*dsn=4\.4\.3, status=deferred", seconds=120)
    expect_equal(len(sink.messages), len(good), "delivered")
    expect((bombs[0], dnssec.DNSKEY) in dns.asked, "the keys were asked for")

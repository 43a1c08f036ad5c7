# SPDX-License-Identifier: MIT
"""Whatever a name server says, and however it says it: mail waits unless the answer is clear, nothing
that is no host name gets into the log, and the client neither dies nor grows.

shows: dns_time_limit
"""
import re
import struct

import ports
import procs
import sinks
from hostile_names import (A, CNAME, MX, REFUSED, SERVFAIL, HostileServer, a, answers, cname, code, encode,
                           mx, only, record, reply, silence)
from suite import Suite, expect, expect_equal

HOST = a("127.0.1.1")
HERE = {"good.example": answers(HOST)}


def truncated(question):  # and there is no more of it over TCP
    return None if question.tcp else reply(question, (), flags=0x8380)


def bad_pointer(where):
    return only(MX, lambda q: reply(q, [record(MX, struct.pack(">HH", 5, 0xc000 | where))]))


def lying(*counts):
    return only(MX, lambda q: reply(q, [mx(5, "good.example")], counts=counts))


def short_mx(length):
    return only(MX, lambda q: reply(q, [record(MX, b"\0\5\3"[:length])]))


def mx_named(*names):
    return only(MX, lambda q: answers(*(mx(5, name) for name in names))(q))


LONG = ".".join(["x" * 63] * 3 + ["y" * 61])  # 255 bytes on the wire
# domain -> rule, status, dsn, text. "waits or goes": one library may be stricter than another.
CASES = {
    "servfail.example": (code(SERVFAIL), "deferred", r"4\.4\.3"),
    "refused.example": (code(REFUSED), "deferred", r"4\.4\.3"),
    "formerr.example": (code(1), "deferred", r"4\.4\.3"),
    "silent.example": (silence, "deferred", r"4\.4\.3"),
    "truncated.example": (truncated, "deferred", r"4\.4\.3"),
    "garbage.example": (lambda q: struct.pack(">H", q.id) + b"\x81\x80" + b"\xff" * 200, "deferred", r"4\.4\.3"),
    "empty.example": (lambda q: b"", "deferred", r"4\.4\.3"),
    "otherid.example": (lambda q: struct.pack(">H", q.id ^ 1) + reply(q, [HOST])[2:], "deferred", r"4\.4\.3"),
    "mxfails.example": (lambda q: (code(SERVFAIL) if q.type == MX else answers(HOST))(q), "deferred", r"4\.4\.3"),
    "hostfails.example": (mx_named("servfail.example"), "deferred", r"4\.4\.3"),
    # A host that cannot be looked up does not matter while another one can.
    "onefails.example": (only(MX, answers(mx(1, "servfail.example"), mx(2, "good.example"))), "sent", r"2\."),
    "short0.example": (short_mx(0), "deferred", r"4\.4\.3"),
    "short1.example": (short_mx(1), "deferred", r"4\.4\.3"),
    "short2.example": (short_mx(2), "deferred", r"4\.4\.3"),
    "short3.example": (short_mx(3), "deferred", r"4\.4\.3"),
    "loop1.example": (answers(cname("loop1.example")), "deferred", r"4\.4\.3"),
    "loop2.example": (answers(cname("loop3.example")), "deferred", r"4\.4\.3"),
    "chain0.example": (None, "deferred", r"4\.4\.3"),
    "aliashost.example": (mx_named("alias.example"), "sent", r"2\."),
    "self.example": (bad_pointer(31), "deferred", r"4\.4\.3"),
    "forward.example": (bad_pointer(0x1ff), "deferred", r"4\.4\.3"),
    "toomany.example": (lying(1, 65535, 65535, 65535), "deferred|sent", r""),
    "noquestion.example": (lying(0, 1, 0, 0), "deferred|sent", r""),
    "blank.example": (mx_named("a b.example"), "bounced", r"5\.4\.4"),
    "slash.example": (mx_named("../../etc/passwd"), "bounced", r"5\.4\.4"),
    "nul.example": (mx_named("a\0b.example"), "bounced", r"5\.4\.4"),
    "newline.example": (mx_named("a\nb.example"), "bounced", r"5\.4\.4"),
    "star.example": (mx_named("*.example"), "bounced", r"5\.4\.4"),
    "binary.example": (mx_named("\xff\xfe.example"), "bounced", r"5\.4\.4"),
    "oddandgood.example": (mx_named("a b.example", "good.example"), "sent", r"2\."),
    "numeric.example": (mx_named("127.0.1.1"), "sent", r"2\."),
    "long.example": (mx_named(LONG), "sent", r"2\."),
    "manya.example": (answers(*[HOST] * 4000), "sent", r"2\."),
    "manymx.example": (only(MX, answers(*[mx(n, f"h{n % 7}.example") for n in range(2500)])), "bounced", r"5\.4\.4"),
    "ttl0.example": (answers(a("127.0.1.1", ttl=0)), "sent", r"2\."),
    "ttl31.example": (answers(a("127.0.1.1", ttl=2**31)), "sent", r"2\."),
    "ttlmax.example": (answers(a("127.0.1.1", ttl=2**32 - 1)), "sent", r"2\."),
}
RULES = {**HERE, "alias.example": answers(cname("good.example")), LONG: answers(HOST),
         "loop3.example": answers(cname("loop2.example")), "chain100.example": answers(HOST),
         **{f"chain{n}.example": answers(cname(f"chain{n + 1}.example")) for n in range(100)},
         **{domain: rule for domain, (rule, _, _) in CASES.items() if rule}}


def rss(pid):
    for line in open(f"/proc/{pid}/status", encoding="ascii"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def check_all(suite):
    ids = {domain: suite.send("", [f"to@{domain}"]) for domain in CASES}
    for domain, (_, status, dsn) in CASES.items():
        match = suite.wait_log(rf"{ids[domain]}: to=<to@{domain}>.*dsn=([\d.]+), status=(\w+) \((.*)\)",
                               seconds=120)
        expect(re.fullmatch(status, match.group(2)) and re.match(dsn, match.group(1)),
               f"{domain}: {match.group(0)}")


with HostileServer(RULES) as dns, sinks.Sink(host="127.0.1.1") as sink, \
        Suite(dns_resolvers=dns.resolver, dns_time_limit="4s", smtp_tcp_port=sink.port,
              minimal_backoff_time="1h", maximal_backoff_time="1h", queue_run_delay="1h") as suite:
    check_all(suite)
    pids = suite.pids("smtp")
    before = {pid: rss(pid) for pid in pids}
    for _ in range(3):
        check_all(suite)
    expect_equal(suite.pids("smtp"), pids, "no client died")
    for pid in pids:
        expect(rss(pid) < before[pid] + 16 * 1024, f"memory grew from {before[pid]} to {rss(pid)} kB")
    expect(not any("a b.example" in line or "\0" in line or "/etc/passwd" in line and "status=" in line
                   for line in suite.lines()), "odd names in the log")
    asked = [name for name, kind in dns.asked if kind == A]
    expect("mxfails.example" not in asked, "no address instead of an MX that could not be looked up")

# SPDX-License-Identifier: MIT
"""Looking up the names of clients never stands in the way of mail: not a name server that is silent,
not one that lies, not a crowd. Lists of clients may hold names; a name counts only when it is verified.

# shows: smtpd_peername_lookup dns_resolvers dns_time_limit mynetworks smtpd_client_connection_count_limit
"""
import contextlib
import ipaddress
import pathlib
import socket
import threading

import hostile_names
import ports
import sinks
from hostile_names import HostileServer, a, answers, cname, record
from suite import RawClient, Suite, expect, expect_equal, expect_match, skip

PTR = 12
SILENT, GATED = "127.0.1.66", "127.0.1.67"
gate = threading.Event()


def zone(address):
    return ipaddress.ip_address(address).reverse_pointer


def ptr(target, **more):
    return record(PTR, hostile_names.encode(target), **more)


def gated(*records):
    """Says nothing until the gate is open."""
    rule = answers(*records)
    return lambda question: rule(question) if gate.is_set() else None


# What a reverse zone may hold, byte for byte: each gives no name.
LIES = {
    "control bytes": answers(ptr(b"a\r\nb\x1b[2J.example")),
    "a NUL": answers(ptr(b"a\0b.example")),
    "a log line": answers(ptr(b"x[127.0.0.1]: client=y.example")),
    "longer than a name": answers(record(PTR, (b"\x3f" + b"x" * 63) * 5 + b"\0")),
    "no name at all": answers(record(PTR, b"")),
    "cut short": answers(record(PTR, b"\x3fabc")),
    "a loop": answers(record(PTR, b"\xc0\x0c")),
    "an alias of itself": lambda q: hostile_names.reply(q, [cname(q.name)]),
    "the root": answers(record(PTR, b"\0")),
    "numeric": answers(ptr("127.0.0.1")),
    "the name of somebody else": answers(ptr("good.client.example")),
    "ours": answers(ptr("mail.postrider.example")),
    "localhost": answers(ptr("localhost")),
    "very many": answers(*(ptr(f"n{i}.client.example") for i in range(2000))),
    "SERVFAIL": hostile_names.code(hostile_names.SERVFAIL),
    "REFUSED": hostile_names.code(hostile_names.REFUSED),
    "garbage": lambda q: q.id.to_bytes(2, "big") + b"\xff" * 300,
    "counts that lie": lambda q: hostile_names.reply(q, [ptr("x.example")], counts=(1, 65535, 9, 9)),
}
LIARS = {f"127.0.7.{i}": (what, rule) for i, (what, rule) in enumerate(LIES.items(), 1)}
RULES = {
    zone("127.0.1.1"): answers(ptr("good.client.example")),
    "good.client.example": answers(a("127.0.1.1"), a("::1")),
    zone("127.0.1.2"): answers(*(ptr(f"many{i}.client.example") for i in range(100))),
    **{f"many{i}.client.example": answers(a("127.0.1.2")) for i in range(100)},
    zone("127.0.1.3"): answers(ptr("often.client.example")),
    "often.client.example": answers(a("127.0.1.3")),
    zone(SILENT): hostile_names.silence,
    zone(GATED): gated(ptr("late.client.example")),
    "late.client.example": answers(a(GATED)),
    zone("::1"): answers(ptr("good.client.example")),
    **{zone(address): rule for address, (_, rule) in LIARS.items()},
}


class Client(RawClient):
    """From an address of its own. `greeting` is read when the test says so."""

    def __init__(self, suite, address, host="127.0.0.1", port=None):
        self.socket = socket.create_connection((host, port or suite.port), timeout=60,
                                               source_address=(address, 0))
        self.file = self.socket.makefile("rb")

    def greeted(self):
        self.greeting = self.reply()
        return self.greeting[:3] == "220"

    def mail(self, to="to@example.net"):
        """The reply to RCPT or, when that was accepted, to the message."""
        self.command("EHLO helo.example")
        self.command("MAIL FROM:<from@example.org>")
        said = self.command(f"RCPT TO:<{to}>")
        if said[:3] == "250":
            self.command("DATA")
            said = self.command("Subject: x\r\n\r\nx\r\n.")
        return said


def name_of_loopback6():
    """What the hosts file calls ::1 comes first."""
    for line in pathlib.Path("/etc/hosts").read_text(errors="replace").splitlines():
        words = line.partition("#")[0].split()
        if len(words) > 1 and words[0] == "::1":
            return words[1]
    return "good.client.example"


def lies_are_unknown(suite, sink):
    for address, (what, _) in LIARS.items():
        before = len(sink.messages)
        with Client(suite, address) as client:
            expect(client.greeted(), f"{what}: {client.greeting}")
            expect_match("^250 ", client.mail(), what)
        header = sink.wait(before + 1)[before].header
        expect(header.startswith(f"Received: from helo.example (unknown [{address}])\r\n"),
               f"{what}: {header}")
        suite.wait_log(rf": connect from unknown\[{address}\]$")
        suite.wait_log(rf": client=unknown\[{address}\]$")
    for line in suite.lines():
        expect(line.isprintable(), f"control bytes in the log: {line!r}")


def others_are_not_held_up(suite, sink, dns):
    with Client(suite, GATED) as late, Client(suite, "127.0.1.1") as good, \
            Client(suite, "127.0.1.2") as many:
        ports.wait_until(lambda: (zone(GATED), PTR) in dns.asked)
        before = len(sink.messages)
        expect(good.greeted() and many.greeted(), "greeted meanwhile")
        expect_match("^250 ", good.mail(), "mail meanwhile")
        expect(sink.wait(before + 1)[before].header.startswith(
            "Received: from helo.example (good.client.example [127.0.1.1])"), "its name")
        suite.wait_log(r"connect from many\d+\.client\.example\[127\.0\.1\.2\]")
        expect(not any(GATED in line for line in suite.lines()), "nothing is known of the late one")
        gate.set()
        expect(late.greeted(), late.greeting)
        suite.wait_log(rf"connect from late\.client\.example\[{GATED}\]")


def answers_are_kept(suite, dns):
    """Each process asks once."""
    dns.asked.clear()
    for _ in range(20):
        with Client(suite, "127.0.1.3") as client:
            expect(client.greeted(), client.greeting)
    suite.wait_log(r": connect from often\.client\.example\[127\.0\.1\.3\]", count=20)
    for question in (zone("127.0.1.3"), PTR), ("often.client.example", hostile_names.A):
        expect(1 <= dns.asked.count(question) <= len(suite.pids("smtpd")), dns.asked)


def one_address_cannot_take_all_places(suite):
    """More clients from one address than may be looked up, all of them waiting: the rest is told at
    once that it is too many."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Client(suite, SILENT)) for _ in range(70)]
        replies = [client.reply()[:9] for client in crowd]
        expect_equal((replies.count("220 mail."), replies.count("421 4.7.0")), (10, 60), "replies")


with HostileServer(RULES) as dns, sinks.Sink() as sink:
    with Suite(relayhost=sink.place, dns_resolvers=dns.resolver, mynetworks="0.0.0.0/0",
               smtpd_client_event_limit_exceptions="") as suite:
        answers_are_kept(suite, dns)
        lies_are_unknown(suite, sink)
        others_are_not_held_up(suite, sink, dns)

        # Lists with names: only verified ones count.
        suite.configure(mynetworks="client.example, 127.0.0.1", inet_protocols="all")
        suite.reload()
        with Client(suite, "127.0.1.1") as good:
            expect(good.greeted(), "good")
            expect_match("^250 ", good.mail(), "trusted by its name")
        forger = next(x for x, (what, _) in LIARS.items() if what == "the name of somebody else")
        with Client(suite, forger) as bad:
            expect(bad.greeted(), "forger")
            expect_match("^454 4.7.1 ", bad.mail(), "not trusted by a name that is not its own")
        suite.wait_log(rf"warning: hostname good\.client\.example does not resolve to address {forger}$")

        # Another name server takes over at a reload, and so does none.
        with HostileServer({zone("127.0.1.1"): answers(ptr("second.client.example")),
                            "second.client.example": answers(a("127.0.1.1"))}) as second:
            suite.configure(dns_resolvers=second.resolver)
            suite.reload()

            def named():
                with Client(suite, "127.0.1.1") as client:
                    client.greeted()
                return any("connect from second.client.example[127.0.1.1]" in x for x in suite.lines())

            ports.wait_until(named, 20, "the new name server")
            suite.configure(smtpd_peername_lookup="no")
            suite.reload()
            second.asked.clear()

            def nameless():
                with Client(suite, "127.0.1.1") as client:
                    client.greeted()
                return any(x.endswith("connect from unknown[127.0.1.1]") for x in suite.lines())

            ports.wait_until(nameless, 20, "no look-ups")
            expect_equal(second.asked, [], "what is asked when nothing is looked up")

    # Waits are bounded.
    with Suite(relayhost=sink.place, dns_resolvers=dns.resolver, dns_time_limit="1s",
               smtpd_client_connection_count_limit="10", mynetworks="0.0.0.0/0",
               smtpd_client_event_limit_exceptions="") as suite:
        with Client(suite, SILENT) as silent:
            expect(silent.greeted(), "after the time limit")
            expect_match("^250 ", silent.mail(), "and mail goes on")
            suite.wait_log(rf": client=unknown\[{SILENT}\]$")
        ports.wait_until(lambda: any(x.endswith(f"disconnect from unknown[{SILENT}] commands=0") or
                                     f"from unknown[{SILENT}] ehlo=1" in x for x in suite.lines()))
        one_address_cannot_take_all_places(suite)

    # A client that is being looked up does not hold up the end of the suite.
    dns.asked.clear()
    with Suite(relayhost=sink.place, dns_resolvers=dns.resolver, dns_time_limit="1h") as suite:
        with Client(suite, SILENT) as waiting:
            ports.wait_until(lambda: (zone(SILENT), PTR) in dns.asked)
            suite.stop()
            expect_equal(waiting.reply(), "421 4.3.2 mail.postrider.example Service is closing", "farewell")

    try:
        port = ports.free_port("127.0.0.1")
        socket.create_server(("::1", port), family=socket.AF_INET6).close()
    except OSError:
        skip("the rest needs ::1")
    with Suite(start=False, relayhost=sink.place, dns_resolvers=dns.resolver, inet_protocols="all",
               mynetworks="127.0.0.0/8, [::1]") as suite:
        with (suite.dir / "master.cf").open("a") as master_cf:
            master_cf.write(f"[::1]:{port} inet n - n - - smtpd\n")
        suite.start()
        before = len(sink.messages)
        with Client(suite, "::1", "::1", port) as six:
            expect(six.greeted(), "over IPv6")
            expect_match("^250 ", six.mail(), "mail over IPv6")
        name = name_of_loopback6()
        expect(sink.wait(before + 1)[before].header.startswith(
            f"Received: from helo.example ({name} [IPv6:::1])\r\n"), sink.messages[before].header)
        suite.wait_log(rf": client={name}\[::1\]$")

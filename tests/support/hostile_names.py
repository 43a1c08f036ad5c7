# SPDX-License-Identifier: MIT
"""A name server that says what a test wants it to say, byte for byte, over UDP and TCP.

    with HostileServer({"a.example": answers(mx(10, "mx.a.example")), "b.example": code(2)}) as dns:
        dns.resolver     # 127.0.0.1@port
        dns.asked        # [("a.example", MX), ...]

A rule is a function from a Question to the bytes of the reply, or None: silence. A name without a rule
has the rule of ".", or does not exist.
"""
import dataclasses
import ipaddress
import socket
import struct
import threading

import ports

A, NS, CNAME, SOA, MX, AAAA, DNAME = 1, 2, 5, 6, 15, 28, 39
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5


@dataclasses.dataclass
class Question:
    name: str
    type: int
    raw: bytes  # the query's question section
    id: int
    tcp: bool


def encode(name):
    """A name as it is written; bytes in it are taken as they are."""
    raw = name if isinstance(name, bytes) else name.encode("latin-1")
    return b"".join(bytes([len(label)]) + label for label in raw.split(b".") if label) + b"\0"


def record(kind, rdata, name=b"\xc0\x0c", ttl=300):
    """Of the name that was asked for, unless another encoded name is given."""
    return name + struct.pack(">HHIH", kind, 1, ttl, len(rdata)) + rdata


def a(address, **more):
    packed = ipaddress.ip_address(address).packed
    return record(A if len(packed) == 4 else AAAA, packed, **more)


def mx(preference, host, **more):
    return record(MX, struct.pack(">H", preference) + encode(host), **more)


def cname(target, **more):
    return record(CNAME, encode(target), **more)


def reply(question, records=(), rcode=0, flags=0x8180, counts=None):
    """`counts`: what the header says about its sections, true or not."""
    head = struct.pack(">HH", question.id, flags | rcode)
    body = question.raw + b"".join(records)
    return head + struct.pack(">4H", *(counts or (1, len(records), 0, 0))) + body


def answers(*records):
    """The records of the type that was asked for, and CNAMEs."""
    def rule(question):
        def kind(r):
            end = 2 if r[0] >= 0xc0 else r.index(b"\0") + 1
            return struct.unpack(">H", r[end:end + 2])[0]
        wanted = [r for r in records if kind(r) in (question.type, CNAME)]
        whole = reply(question, wanted)
        if len(whole) > 1232 and not question.tcp:
            return reply(question, (), flags=0x8380)  # truncated: ask over TCP
        return whole
    return rule


def code(rcode):
    return lambda question: reply(question, (), rcode)


def only(kind, rule, otherwise=None):
    """The rule for one type; others have no data."""
    return lambda question: rule(question) if question.type == kind else \
        (otherwise or reply)(question)


silence = lambda question: None


class HostileServer:
    def __init__(self, rules, port=0):
        self.rules = {name.lower(): rule for name, rule in rules.items()}
        self.port = port
        self.asked = []

    @property
    def resolver(self):
        return f"127.0.0.1@{self.port}"

    def respond(self, query, tcp):
        if len(query) < 17:
            return None
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += query[at] + 1
        question = Question(".".join(labels), struct.unpack(">H", query[at + 1:at + 3])[0],
                            query[12:at + 5], struct.unpack(">H", query[:2])[0], tcp)
        self.asked.append((question.name, question.type))
        rule = self.rules.get(question.name) or self.rules.get(".") or code(NXDOMAIN)
        return rule(question)

    def serve_udp(self):
        while True:
            query, client = self.udp.recvfrom(4096)
            if self.stopping:
                return
            answer = self.respond(query, False)
            if answer is not None:
                self.udp.sendto(answer[:4096], client)

    def serve_tcp(self):
        while True:
            connection, _ = self.tcp.accept()
            with connection:
                if self.stopping:
                    return
                connection.settimeout(5)
                try:
                    length = connection.recv(2, socket.MSG_WAITALL)
                    query = connection.recv(struct.unpack(">H", length)[0], socket.MSG_WAITALL)
                    answer = self.respond(query, True)
                    if answer is not None:
                        connection.sendall(struct.pack(">H", len(answer)) + answer)
                        connection.recv(1)  # until the client is done
                except (OSError, struct.error):
                    pass

    def start(self):
        self.port = self.port or ports.free_port()
        self.stopping = False
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for s in (self.udp, self.tcp):
            s.bind(("127.0.0.1", self.port))
        self.tcp.listen(64)
        self.threads = [threading.Thread(target=t, daemon=True)
                        for t in (self.serve_udp, self.serve_tcp)]
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping = True
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.sendto(b"stop", ("127.0.0.1", self.port))
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()

    __enter__ = lambda self: self.start()
    __exit__ = lambda self, *_: self.stop()

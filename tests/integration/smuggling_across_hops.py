# SPDX-License-Identifier: MIT
"""What only looks like an end of data ends nothing on any way through the suite: by DATA and BDAT, in the
clear and in TLS, from sendmail, through the queue to servers with and without CHUNKING and over LMTP,
forwarded in the session in both modes, and through filters before and behind the queue that pass bytes on
as they come. Dots at the borders of pieces stay what they are."""
import contextlib
import re
import socket
import ssl
import tempfile
import threading

import certs
import ports
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match

ENDINGS = [b"\n.\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\r\n\0.\r\n",
           b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\0\n.\r\n", b"\r\n.\r\0\n", b"\n\n.\r\n", b"\n..\r\n"]
SMUGGLED = (b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\n"
            b"Subject: smuggled\r\n\r\nsmuggled\r\n")
BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\0")
DOTS = b".\r\n..\r\n" * 20000


class Filter:
    """A content filter that passes on what it gets as it is; `seen` is what went through to the server, by
    connection."""

    def __init__(self, port):
        self.port, self.seen = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"[127.0.0.1]:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
                self.seen.append(bytearray())
                for one, other, seen in ((client, server, self.seen[-1]), (server, client, bytearray())):
                    threading.Thread(target=self.pass_on, args=(one, other, seen), daemon=True).start()

    @staticmethod
    def pass_on(one, other, seen):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                seen += data
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    __enter__ = lambda self: self
    __exit__ = lambda self, *_: self.listener.close()


def connect(port, tls):
    client = RawClient(port, greet=not tls)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client.socket = context.wrap_socket(client.socket)
        client.file = client.socket.makefile("rb")
        client.reply()
    expect_match("^250", client.command("EHLO client.example"), "EHLO")
    return client


def say(client, recipients, text, chunked, pieces):
    """One message; each of `pieces` is where a piece of it ends."""
    expect_match("^250", client.command("MAIL FROM:<good@example.org>"), "MAIL")
    for recipient in recipients:
        expect_match("^250", client.command(f"RCPT TO:<{recipient}>"), recipient)
    if not chunked:
        expect_match("^354", client.command("DATA"), "DATA")
        text = re.sub(rb"(?m)^\.", b"..", text) + b".\r\n" if text.endswith(DOTS) else text + b".\r\n"
    parts = [text[a:b] for a, b in zip([0, *pieces], [*pieces, len(text)])]
    for part in parts:
        if chunked:
            client.write(f"BDAT {len(part)}{' LAST' if part is parts[-1] else ''}\r\n".encode() + part)
            expect_match("^250", client.reply(), "chunk")
        else:
            client.write(part)
    if not chunked:
        expect_match("^250", client.reply(), "end of data")


with contextlib.ExitStack() as stack:
    directory = stack.enter_context(tempfile.TemporaryDirectory())
    certificate = certs.Authority(directory + "/ca", "the roots").issue("localhost")
    plain, lmtp, behind, passed = (stack.enter_context(sinks.Sink(lmtp=n == 1)) for n in range(4))
    chunks = stack.enter_context(sinks.Sink(extensions=(*sinks.EXTENSIONS, "CHUNKING")))
    tls, rcpt, data, again, last, filtered = ports.free_ports(6)
    before, after = (stack.enter_context(Filter(port)) for port in (again, last))
    suite = stack.enter_context(Suite(
        start=False, relayhost=plain.place, smtpd_error_sleep_time="0s", message_size_limit="2000000",
        transport_maps=f"inline:{{ chunks.example=smtp:{chunks.place}, lmtp.example=lmtp:inet:127.0.0.1:{lmtp.port},"
                       f" after.example=smtp:{after.place} }}"))
    (suite.dir / "master.cf").open("a").write(
        f"127.0.0.1:{tls} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n"
        f"  -o smtpd_tls_cert_file={certificate.cert} -o smtpd_tls_key_file={certificate.key}\n"
        f"127.0.0.1:{rcpt} inet n - n - - smtpd -o smtpd_forward=smtp:{passed.place} -o smtpd_forward_check=rcpt\n"
        f"127.0.0.1:{data} inet n - n - - smtpd -o smtpd_forward=smtp:{passed.place} -o smtpd_forward_check=data\n"
        f"127.0.0.1:{filtered} inet n - n - - smtpd -o smtpd_forward=smtp:{before.place}\n"
        f"127.0.0.1:{again} inet n - n - - smtpd\n"
        f"127.0.0.1:{last} inet n - n - - smtpd -o smtpd_forward=smtp:{behind.place}\n")
    suite.start()
    # Of each sink the subjects that it has to get. The neighbours of a filter port are trusted, and may send
    # bare line ends: that port has to be as strict.
    wanted = {sink: [] for sink in (plain, chunks, lmtp, behind, passed)}
    everywhere = ["to@example.net", "to@chunks.example", "to@lmtp.example", "to@after.example"]
    ways = [("clear", suite.port, everywhere, (plain, chunks, lmtp, behind)),
            ("tls", tls, everywhere, (plain, chunks, lmtp, behind)),
            ("rcpt", rcpt, ["to@example.net"], (passed,)), ("data", data, ["to@example.net"], (passed,)),
            ("filter", filtered, ["to@example.net"], (plain,)), ("again", again, ["to@example.net"], (plain,)),
            ("last", last, ["to@example.net"], (behind,))]
    for way, port, recipients, places in ways:
        with connect(port, way == "tls") as client:
            for chunked in (False, True):
                for n, ending in enumerate([*ENDINGS, b"\r\n" + DOTS]):
                    subject = f"{way}-{chunked}-{n}"
                    text = b"Subject: " + subject.encode() + b"\r\n\r\nfirst" + ending
                    cut = [len(text) - 2] if n < len(ENDINGS) else []  # within the trick
                    text += SMUGGLED if n < len(ENDINGS) else b""
                    say(client, recipients, text, chunked, cut)
                    for place in places:
                        wanted[place].append(subject)
            expect_match("^221", client.command("QUIT"), "QUIT")
    for n, ending in enumerate(ENDINGS):
        subject = f"sendmail-{n}"
        suite.sendmail("-i", "-f", "good@example.org", "to@example.net",
                       text=f"Subject: {subject}\n\nfirst{ending.decode()}{SMUGGLED.decode()}")
        wanted[plain].append(subject)
    for sink, subjects in wanted.items():
        sink.wait(len(subjects), seconds=60)
    suite.wait_empty(60)
    for sink, subjects in wanted.items():
        came = [re.search(r"(?m)^Subject: (\S+)", m.header).group(1) for m in sink.messages]
        expect_equal(sorted(came), sorted(subjects), "messages")
        for message in sink.messages:
            expect_equal((message.sender, len(message.recipients)), ("good@example.org", 1), "envelope")
            expect(b"smuggled" in message.body or message.body == b"first\r\n" + DOTS, f"its text: {message.body[:200]}")
            bare = BARE.search(message.data)
            expect(bare is None, f"a bare CR, LF or NUL was passed on: {message.data[:2000]!r}")
    for filter_ in (before, after):
        for seen in filter_.seen:
            text = re.sub(rb"BDAT \d+( LAST)?\r\n", b"", seen)  # a chunk may end within a line end
            bare = BARE.search(text)
            expect(bare is None, f"a filter saw {bare and text[max(bare.start() - 50, 0):bare.end() + 50]}")
        expect(sum(map(len, filter_.seen)) > len(DOTS), "a filter saw too little")

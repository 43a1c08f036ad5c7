# SPDX-License-Identifier: MIT
"""A service behind a proxy: the client is whom the proxy's header names, in either version of the
PROXY protocol, by a script and by haproxy, and also where TLS begins with the connection. Other clients,
and headers that are none, are turned away.

# shows: smtpd_upstream_proxy_protocol
# shows: smtpd_upstream_proxy_timeout
# shows: smtpd_upstream_proxy_hosts
"""
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile

import certs
import ports
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def binary(command, family, rest):
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(rest)) + rest


FOUR = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.1") + struct.pack(">HH", 4711, 25)
SIX = (socket.inet_pton(socket.AF_INET6, "2001:db8::1") + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
       + struct.pack(">HH", 4711, 25))
GOOD = {
    b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\r\n": "192.0.2.1",
    b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n": "2001:db8::1",
    b"PROXY UNKNOWN\r\n": "127.0.0.1",
    binary(0x21, 0x11, FOUR + b"\x04\0\3abc"): "192.0.2.1",
    binary(0x21, 0x21, SIX): "2001:db8::1",
    binary(0x20, 0x00, b""): "127.0.0.1",
}
BAD = [
    b"EHLO client.example\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n",
    b"PROXY UNKNOWN " + b"x" * 200,
    b"PROXY TCP4 192.0.2.1\n198.51.100.1 4711 25\r\n",
    binary(0x21, 0x11, FOUR[:-1]),
    binary(0x21, 0x11, FOUR + b"\x04\0\x09abc"),
    binary(0x31, 0x11, FOUR),
    SIGNATURE + b"\x21\x11\xff\xff",
]


def connect(port, source="127.0.0.1"):
    client = RawClient.__new__(RawClient)
    client.socket = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))
    client.file = client.socket.makefile("rb")
    return client


def is_cut(client):
    """Whether the server says nothing and closes."""
    try:
        return client.file.read() == b""
    except ConnectionResetError:
        return True


def talk_tls(port, header, together):
    """A session behind TLS, which begins right behind the header; `together`: in one packet with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        if not together:
            client.sendall(header)
            header = b""

        def step(act):
            nonlocal header
            while True:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    client.sendall(header + outgoing.read())
                    header = b""
                    more = client.recv(65536)
                    incoming.write(more) if more else incoming.write_eof()

        step(tls.do_handshake)
        said = [step(lambda: tls.read(4096)).decode()]
        for line in ("EHLO c.example", "MAIL FROM:<a@b.example>", "RCPT TO:<u@far.example>", "DATA",
                     "Subject: wrapped\r\n\r\ntext\r\n.", "QUIT"):
            tls.write(line.encode() + b"\r\n")
            said.append(step(lambda: tls.read(4096)).decode())
        return said


with sinks.Sink() as sink, tempfile.TemporaryDirectory(prefix="postrider-test-") as directory:
    certificate = certs.Authority(pathlib.Path(directory)).issue("mail.postrider.example")
    suite = Suite(start=False, relayhost=sink.place, smtpd_peername_lookup="no", mynetworks="127.0.0.0/8, 192.0.2.1")
    proxied, open_one, wrapped = ports.free_port(), ports.free_port(), ports.free_port()
    with (suite.config / "master.cf").open("a") as master_cf:
        master_cf.write(f"127.0.0.1:{proxied} inet n - n - - smtpd\n"
                        " -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_upstream_proxy_timeout=1s\n"
                        " -o smtpd_upstream_proxy_hosts=127.0.0.1\n"
                        f"127.0.0.1:{open_one} inet n - n - - smtpd\n"
                        " -o smtpd_upstream_proxy_protocol=haproxy\n"
                        f"127.0.0.1:{wrapped} inet n - n - - smtpd\n"
                        " -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_tls_wrappermode=yes\n"
                        f" -o smtpd_tls_chain_files={certificate.both} -o smtpd_tls_loglevel=1\n"
                        " -o smtpd_tls_received_header=yes\n")
    suite.start_at_enter = True
    with suite:
        for header, address in GOOD.items():
            for pieces in ([header], [header[i:i + 1] for i in range(len(header))]):
                with connect(proxied) as client:
                    for piece in pieces:
                        client.write(piece)
                    expect(client.reply().startswith("220"), f"greeting behind {header}")
                    client.command("QUIT")
            suite.wait_log(rf"disconnect from unknown\[{address}\]")
        # The named client is the one that lists and limits are about.
        for header, wanted in ((GOOD_FOUR := b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\r\n", "250"),
                               (b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\r\n", "454")):
            with connect(proxied) as client:
                client.write(header)
                client.reply()
                client.command("EHLO client.example")
                client.command("MAIL FROM:<a@b.example>")
                expect_equal(client.command("RCPT TO:<u@far.example>")[:3], wanted, str(header))
                if wanted == "250":
                    client.command("DATA")
                    expect(client.command("Subject: x\r\n\r\ntext\r\n.").startswith("250"), "mail")
        expect("(unknown [192.0.2.1])" in sink.wait(1)[0].header, "Received: names the client")
        # A client that talks before the greeting is found out behind the header as well.
        with connect(proxied) as client:
            client.write(GOOD_FOUR + b"EHLO client.example\r\n")
            expect(client.reply().startswith("554 5.5.0"), "early talk")

        # TLS from the first byte behind the header: to the byte, in whatever pieces it comes.
        for n, (header, together) in enumerate(((GOOD_FOUR, False), (GOOD_FOUR, True),
                                                (binary(0x21, 0x11, FOUR), True)), 2):
            said = talk_tls(wrapped, header, together)
            expect_equal([reply[:3] for reply in said], ["220", "250", "250", "250", "354", "250", "221"], f"{header}")
            expect_match(r"Received: from c\.example \(unknown \[192\.0\.2\.1\]\)\s+\(using TLSv1", sink.wait(n)[-1].header)
        suite.wait_log(r"TLS connection established from unknown\[192\.0\.2\.1\]", count=3)
        # No header, and TLS at once: nothing is said, since it may be anybody.
        with connect(wrapped) as client:
            client.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 64)
            expect(is_cut(client), "TLS without a header")
        # A header, and no TLS behind it.
        with connect(wrapped) as client:
            client.write(GOOD_FOUR + b"EHLO client.example\r\n")
            expect(not client.file.read().startswith(b"2"), "no TLS behind the header")
        suite.wait_log(r"SSL_accept error from unknown\[192\.0\.2\.1\]")

        for header in BAD:
            with connect(proxied) as client:
                client.write(header)
                try:
                    client.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # cut already
                expect(is_cut(client), f"{header}")
        suite.wait_log(r"cannot serve unknown\[127\.0\.0\.1\]: bad PROXY header", count=len(BAD) + 1)
        with connect(proxied) as client:
            client.write("PROXY TC")
            expect(is_cut(client), "silence")
        suite.wait_log(r"cannot serve unknown\[127\.0\.0\.1\]: no PROXY header in time")
        with connect(proxied, "127.0.0.2") as client:
            client.write(GOOD_FOUR)
            expect(is_cut(client), "not listed")
        suite.wait_log(r"cannot serve unknown\[127\.0\.0\.2\]: not in smtpd_upstream_proxy_hosts")
        with connect(open_one, "127.0.0.2") as client:
            client.write(GOOD_FOUR)
            expect(client.reply().startswith("220"), "an empty list means every client")

        if shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy"):
            for how, source in (("send-proxy", "127.0.0.21"), ("send-proxy-v2", "127.0.0.22"),
                                ("send-proxy-v2 proxy-v2-options crc32c", "127.0.0.23")):
                front = ports.free_port()
                config = suite.write("haproxy.cfg", f"""
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen smtp
    bind 127.0.0.1:{front}
    server one 127.0.0.1:{proxied} {how}
""")
                proxy = subprocess.Popen([shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", config],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    def greeted():
                        try:
                            with connect(front, source) as client:
                                greeting = client.reply()
                                client.command("QUIT")
                                return greeting.startswith("220")
                        except OSError:
                            return False
                    ports.wait_until(greeted, 20, f"a greeting through haproxy ({how})")
                    suite.wait_log(rf"disconnect from unknown\[{source}\]")
                finally:
                    proxy.terminate()
                    proxy.wait()

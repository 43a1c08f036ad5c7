# SPDX-License-Identifier: MIT
"""Clients of other protocols, and noise, at a port in the clear and at one that begins with TLS: they are refused
or get no answer, what they carry is no mail, and the next client is served by the same process."""
import random
import ssl
import tempfile

import certs
import ports
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match

MAIL = b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n"
HELLO = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03" + b"\x0a" * 32 + b"\x00\x00\x04\x13\x01\x00\xff\x01\x00"
# At the first line these are known for what they are; what else comes is not even read as a command.
FORBIDDEN = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + MAIL, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + MAIL,
             b"CONNECT x:25 HTTP/1.1\r\n\r\n" + MAIL, HELLO + b"\r\n" + MAIL, b"* OK IMAP\r\n" + MAIL]
OTHERS = [HELLO, b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00", b"SSH-2.0-x\r\n",
          b"\x05\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\xffSMB" + bytes(100), b"\n" * 5000, bytes(5000)]


def replies_to(port, data, greet=True):
    with RawClient(port, greet=greet) as client:
        try:
            client.write(data)
            client.socket.shutdown(1)
        except OSError:
            pass  # cut already
        replies = []
        try:
            while reply := client.reply():
                replies.append(reply)
        except ConnectionError:
            pass
        return replies


with tempfile.TemporaryDirectory() as directory, sinks.Sink() as sink, \
        Suite(start=False, relayhost=sink.place, smtpd_error_sleep_time="0s", default_process_limit="1") as suite:
    certificate = certs.Authority(directory + "/ca", "the roots").issue("localhost")
    port = ports.free_port()
    with (suite.dir / "master.cf").open("a") as file:
        file.write(f"127.0.0.1:{port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n"
                   f"  -o smtpd_tls_cert_file={certificate.cert} -o smtpd_tls_key_file={certificate.key}\n")
    suite.start()
    served = suite.pids("smtpd")
    for data in FORBIDDEN:
        replies = replies_to(suite.port, data)
        expect(len(replies) <= 1 and replies[:1] != ["250"], f"{data[:20]}: {replies}")
        if replies:  # a reset may have swallowed it
            expect_match(r"^521 5\.5\.2", replies[0], data[:20])
    suite.wait_log(r"non-SMTP command from .*: GET / HTTP/1\.1", count=1)
    rng = random.Random(20261121)
    noise = [rng.randbytes(rng.randrange(1, 4000)) for _ in range(100)]
    for data in OTHERS + noise:
        for reply in replies_to(suite.port, data):
            expect_match("^(5|421)", reply, data[:20])
    for data in FORBIDDEN[:3] + OTHERS[1:] + noise[:30] + [MAIL]:
        said = b"\n".join(reply.encode() for reply in replies_to(port, data, greet=False))
        expect(b"220" not in said and b"250" not in said, f"no word in the clear: {said}")
    with RawClient(suite.port) as client:
        expect_match("^250", client.command("EHLO client.example"), "the next client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with RawClient(port, greet=False) as client, context.wrap_socket(client.socket) as secure:
        expect_match(b"^220", secure.recv(1000), "the next client with TLS")
    expect(set(served) <= set(suite.pids("smtpd")), "the processes are the same")
    suite.wait_empty()
    expect_equal(sink.messages, [], "mail")

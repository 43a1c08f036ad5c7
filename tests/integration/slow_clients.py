# SPDX-License-Identifier: MIT
"""A client that sends a byte now and then gains no time by it, wherever it stands: in a command, a
login, a message by DATA or BDAT, a TLS handshake; nor does one that never reads. Others are served
meanwhile, and nothing of such a message is queued."""
# shows: smtpd_per_request_deadline smtpd_min_data_rate smtpd_timeout smtpd_starttls_timeout
import re
import select
import socket
import time

import certs
import ports
import sasl_accounts
import sinks
from sasl_accounts import SETTINGS
from suite import RawClient, Suite, expect, expect_equal, expect_match

HELLO, MAIL, RCPT = "EHLO client.example", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>"
# What is said first, what drips, and where the log says that it was.
DRIPS = {
    "a command": ([], b"N", "CONNECT"),
    "a command behind others": ([HELLO, MAIL, RCPT], b"x", "RCPT"),
    "a login": ([HELLO, "AUTH PLAIN"], b"A", "AUTH"),
    "DATA": ([HELLO, MAIL, RCPT, "DATA"], b"x", "DATA"),
    "DATA, in lines": ([HELLO, MAIL, RCPT, "DATA"], b"\r\n", "DATA"),
    "BDAT": ([HELLO, MAIL, RCPT, "BDAT 1000000 LAST"], b"x", "BDAT"),
    "BDAT that is refused": ([HELLO, "BDAT 1000000"], b"x", "BDAT"),
    "a handshake": ([HELLO, "STARTTLS"], b"\x16\x03\x01\x02\x00" + bytes(512), "STARTTLS"),
}
SENT_WITHOUT_REPLY = ("BDAT",)


def begin(port, lines):
    client = RawClient(port)
    for line in lines:
        if line.startswith(SENT_WITHOUT_REPLY):
            client.write(line + "\r\n")
        else:
            expect_match("^[23]", client.command(line), line)
    return client


with sinks.Sink() as sink, Suite(start=False, relayhost=sink.place, smtpd_timeout="2s",
                                 smtpd_starttls_timeout="2s", smtpd_min_data_rate="100000", smtpd_per_request_deadline="yes",
                                 smtpd_tls_security_level="may", **SETTINGS) as suite:
    sasl_accounts.make(suite)
    suite.configure(smtpd_relay_restrictions="permit_mynetworks, reject", smtpd_sasl_security_options="noanonymous",
                    smtpd_tls_chain_files=certs.Authority(suite.top / "ca").issue("mail.postrider.example").both)
    suite.start()
    clients = {what: begin(suite.port, lines) for what, (lines, _, _) in DRIPS.items()}
    left = dict(clients)
    turn = 0
    give_up = time.monotonic() + 60
    while left:
        expect(time.monotonic() < give_up, f"still there: {list(left)}")
        for what, client in list(left.items()):
            drip = DRIPS[what][1]
            try:
                client.socket.sendall(drip[turn % len(drip):][:1] if what == "a handshake" else drip)
            except OSError:
                del left[what]
                continue
            if select.select([client.socket], [], [], 0)[0]:
                del left[what]
        turn += 1
        # Somebody else, in between.
        if turn % 5 == 0:
            suite.send("me@example.org", ["good@example.net"], f"Subject: {turn}\n\nx\n")
        time.sleep(0.05)  # the drip
    for what, client in clients.items():
        text = b""
        try:
            while piece := client.socket.recv(4096):
                text += piece
        except OSError:
            pass
        if what == "a handshake":
            expect(not re.search(rb"^[0-9]{3} ", text), f"{what}: {text!r}")
        else:
            expect_match(r"421 4\.4\.2 .*timeout exceeded", text.decode(), what)
            suite.wait_log(f"timeout after {DRIPS[what][2]} from ")
        client.close()
    suite.wait_log("SSL_accept error|STARTTLS|TLS handshake")
    expect(turn > 5, "drips")

    # One that asks and never reads.
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    deaf.connect(("127.0.0.1", suite.port))
    deaf.setblocking(False)
    lines = b"VRFY <somebody@example.net>\r\nRSET\r\n" * 500
    poll = select.poll()
    poll.register(deaf, select.POLLERR | select.POLLHUP)
    asked = 0
    while not poll.poll(50):
        expect(time.monotonic() < give_up + 60, "a client that does not read is still there")
        try:
            asked += deaf.send(lines)
        except BlockingIOError:
            pass
        except OSError:
            break
    deaf.close()
    ports.wait_until(lambda: not suite.queue(), 30, "an empty queue")
    expect_equal({r for m in sink.messages for r in m.recipients}, {"good@example.net"}, "what was delivered")
    print(f"{turn} drips, {len(sink.messages)} other messages meanwhile, {asked} bytes to the deaf")

# SPDX-License-Identifier: MIT
"""Nothing that a client or a server says begins a line of the log, controls a terminal or is read as a format:
names, addresses, parameters, headers, replies; in the log as text and as JSON."""
import json

import sinks
from suite import Suite, expect, expect_match

FORGED = "Jan  1 00:00:00 mail postrider/qmgr[1]: ABC: removed"
HOSTILE = "\x1b[31mred\x07 \u0085\u2028\x7f %s%n%p"
NAMES = [b"a\x1b[2Jb\x7f", b"a%s%n%x.example", b"a\rb", b"\xc2\x9b31m", b"\xe2\x80\xae.example", b"x" * 255,
         b"\xff\xfe"]
LINES = [b"MAIL FROM:<x\x01y@example.org>", b"MAIL FROM:<%s%n@example.org>", b"MAIL FROM:<\"a b\"@example.org>",
         b"MAIL FROM:<a@example.org> ENVID=x+0A" + FORGED.replace(" ", "+20").encode(),
         b"MAIL FROM:<a@example.org> AUTH=x+0A", b"MAIL FROM:<\xc2\x9b@example.org> SMTPUTF8",
         b"RCPT TO:<%s%n@elsewhere.example>", b"RCPT TO:<\"a\x1b\"@example.net>", b"RCPT TO:<\xe2\x80\xae@example.net>",
         b"RCPT TO:<a@example.net> ORCPT=rfc822;x+0A", b"VRFY \xff\xfe%s", b"%s%s%s%n", b"GET /\x1b[2J%n HTTP/1.1"]
HEADERS = ["Message-ID: <%s%n%p@x>", "Message-ID: <\x1b]0;title\x07@x>", f"Message-ID:\r\n <a\r\n\t{FORGED}>",
           "Message-ID: <" + "m" * 5000 + ">", "Message-ID: <\xc2\x9b\xff@x>", "Message-ID: <a\rb\0c@x>"]


def check(data):
    bad = sorted({byte for byte in data if (byte < 32 and byte != 10) or byte == 127})
    expect(not bad, f"bytes {bad} in the log")
    text = data.decode()  # all of it is UTF-8
    expect(not set(text) & {"\u0085", "\u009b", "\u2028", "\u202e"}, "controls of terminals beyond ASCII in the log")
    return text


for form in ("text", "json"):
    with sinks.Sink({"RCPT": f"450-4.2.0 one\n450 4.2.0 {HOSTILE}".replace("\n", "\r\n")}) as sink, \
            Suite(relayhost=sink.place, smtpd_error_sleep_time="0s", smtpd_hard_error_limit="1000",
                  log_format=form, smtpd_relay_restrictions="permit_mynetworks, reject") as suite:
        ids = []
        for name in NAMES:
            with suite.raw() as client:
                client.write(b"EHLO " + name + b"\r\n")
                client.reply()
                for line in LINES:
                    client.write(line + b"\r\n")
                    if not client.reply().startswith(("250", "5", "4")):
                        break
                    if line.startswith(b"MAIL"):
                        client.command("RCPT TO:<>")  # refused, and logged with all that was said
                        client.command("RSET")
        for header in HEADERS:
            with suite.raw() as client:
                client.command("EHLO client.example")
                client.command("MAIL FROM:<from@example.org>")
                client.command("RCPT TO:<to@example.net>")
                client.command("DATA")
                client.write(header.encode("latin-1") + b"\r\n\r\ntext\r\n.\r\n")
                reply = client.reply()
                expect_match("^250", reply, header)
                ids.append(reply.split()[-1])
        for sent in ids:
            suite.wait_log(rf"{sent}\b.*\bto@example\.net\b.*\bdeferred\b")
        text = check(suite.log.read_bytes())
        expect_match("red", text, "the rest of the reply is there")
        for line in text.splitlines():
            expect(not line.startswith("Jan  1 00:00:00"), "a line of the client's")
            if form == "json":
                expect_match("^postrider/", json.loads(line)["program"], "a line of ours")

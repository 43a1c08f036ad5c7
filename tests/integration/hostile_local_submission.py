# SPDX-License-Identifier: MIT
"""What a local user may try with sendmail and the submission socket: control bytes, NULs and line
breaks in envelope and header, signals in the middle of a message, hundreds of sessions that say
nothing. Nothing of it becomes a line of another envelope, half a message, or a hindrance to others."""
import os
import re
import signal
import socket
import subprocess

import ports
import sinks
from suite import SENDMAIL, RawClient, Suite, expect, expect_equal, expect_match

CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
BREAKS = {"LF": "\n", "CR": "\r", "CRLF": "\r\n", "ESC": "\x1b[2J", "BEL": "\a", "DEL": "\x7f", "VT": "\v"}


class Local(RawClient):
    """The submission socket, as any process may open it."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()


with sinks.Sink() as sink, Suite(relayhost=sink.place, myorigin="origin.example") as suite:
    submit = suite.dir / "spool/public/submit"
    environment = {**os.environ, "MAIL_CONFIG": str(suite.config)}

    # --- by arguments and header of sendmail
    good = 0
    for name, text in BREAKS.items():
        for arguments in (["-i", f"to@example.net{text}evil@example.net"], ["-i", f"t{text}o@example.net"],
                          ["-i", "-f", f"a{text}b@example.org", "to@example.net"],
                          ["-i", "-f", f"a@example.org>{text}RCPT TO:<evil@example.net", "to@example.net"],
                          ["-i", "-N", f"success{text}x", "to@example.net"],
                          ["-i", "-V", f"id{text}x", "to@example.net"]):
            done = suite.sendmail(*arguments, text="Subject: x\n\nx\n", check=False)
            expect(done.returncode != 0, f"{name} in {arguments}: {done}")
        # A name for From: is a text like any other; what cannot stand in a header does not.
        if suite.sendmail("-i", "-F", f"Some{text}One", "name@example.net", text="Subject: x\n\nx\n",
                          check=False).returncode == 0:
            good += 1
    messages = sink.wait(good) if good else []
    for message in messages:
        expect(not CONTROL.search(message.header.encode()), f"header {message.header!r}")
        expect_equal(len(re.findall(r"(?m)^From: ", message.header)), 1, "From:")

    # --- what stands in the socket's commands
    with Local(submit) as client:
        expect_match("^220 ", client.greeting, "greeting")
        client.command("EHLO here")
        for bad in (b"MAIL FROM:<a\0b@example.org>", b"MAIL FROM:<a\rRCPT TO:<evil@example.net>@example.org>",
                    b"MAIL FROM:<a\x1b@example.org>", b"MAIL FROM:<a@example.org> ENVID=x+0Ay",
                    b"MAIL FROM:<a@example.org> ENVID=x+00", b"MAIL FROM:<\"a\0b\"@example.org>"):
            client.write(bad + b"\r\n")
            expect_match("^5", client.reply(), repr(bad))
        expect_match("^250", client.command("MAIL FROM:<a@example.org>"), "MAIL")
        for bad in (b"RCPT TO:<b\0@example.net>", b"RCPT TO:<b\r@example.net>", b"RCPT TO:<b@example.net\x07>",
                    b"RCPT TO:<b@example.net> ORCPT=rfc822;b+0Ax@example.net",
                    b"RCPT TO:<b@example.net> ORCPT=rfc822;b+00@example.net"):
            client.write(bad + b"\r\n")
            expect_match("^5", client.reply(), repr(bad))
    expect_equal(suite.queue(), [], "nothing of that is queued")

    # --- killed in the middle, by each of the usual ways
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL, signal.SIGQUIT):
        for text in (b"", b"Subject: half\n\nhalf a message", b"x" * 300_000):
            with subprocess.Popen([SENDMAIL, "-i", "half@example.net"], stdin=subprocess.PIPE,
                                  env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                process.stdin.write(text)
                process.stdin.flush()
                process.send_signal(number)
                process.wait(30)
                expect(process.returncode != 0, f"exit status after {number!r}")
    # A connection that goes away at each point of the dialogue.
    lines = [b"EHLO x\r\n", b"MAIL FROM:<a@example.org>\r\n", b"RCPT TO:<half@example.net>\r\n", b"DATA\r\n",
             b"Subject: half\r\n\r\n", b"half\r\n", b"."]
    for count in range(len(lines) + 1):
        client = Local(submit)
        for line in lines[:count]:
            client.write(line)
            if line.endswith(b"\n") and lines.index(line) < 4:
                client.reply()
        client.close()
    suite.sendmail("-i", "whole@example.net", text="Subject: whole\n\nwhole\n")
    ports.wait_until(lambda: any("whole@example.net" in m.recipients for m in sink.messages), 30, "a whole one")
    expect(not any("half" in r for m in sink.messages for r in m.recipients), "half a message was delivered")
    spool = suite.dir / "spool"
    ports.wait_until(lambda: not [p for p in (spool / "incoming").rglob("*") if p.is_file()], 30,
                     "temporary files are gone")

    # --- a crowd that holds the socket
    crowd = [Local(submit) for _ in range(300)]
    suite.send("from@example.org", ["beside@example.net"])
    suite.sendmail("-i", "beside2@example.net", text="Subject: x\n\nx\n")
    ports.wait_until(lambda: {"beside@example.net", "beside2@example.net"} <=
                     {r for m in sink.messages for r in m.recipients}, 30, "mail beside the crowd")
    for client in crowd:
        client.close()
    expect(not any("evil" in r for m in sink.messages for r in m.recipients), "somebody got a recipient in")
    suite.wait_empty()

# SPDX-License-Identifier: MIT
"""XCLIENT and XFORWARD are answered as Debian's Postfix answers them, in the same dialogue; what they
say goes into the log, the Received: header and, by XFORWARD, from server to server in both directions.

# shows: smtpd_authorized_xclient_hosts
# shows: smtpd_authorized_xforward_hosts
# shows: smtpd_client_port_logging
"""
import pathlib
import re
import tempfile

import ports
import postfix_peer
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match, skip

if not postfix_peer.available():
    skip("Debian's Postfix and root are needed")

# One session each; this Postfix has no IPv6. EHLO is compared by the lines of the two extensions.
DIALOGUES = [
    ["EHLO proxy.example", "XCLIENT", "XFORWARD", "XCLIENT NAME", "XCLIENT NAME=", "XFORWARD ADDR="],
    ["XCLIENT HELO=" + "x" * 256],
    ["XFORWARD HELO=" + "x" * 256],
    ["XCLIENT COLOR=red"], ["XFORWARD COLOR=red"], ["XCLIENT NAME=a..b"], ["XFORWARD NAME=a..b"],
    ["XCLIENT ADDR=192.0.2"], ["XFORWARD ADDR=192.0.2.256"], ["XCLIENT PORT=x"],
    ["XFORWARD PORT=x"], ["XCLIENT PROTO=HTTP"], ["XFORWARD SOURCE=FAR"],
    ["XFORWARD PROTO=" + "x" * 65], ["XCLIENT REVERSE_NAME=-a"],
    ["MAIL FROM:<a@b.example>", "XCLIENT NAME=a.example", "XFORWARD NAME=a.example"],
    ["XFORWARD NAME=a.example ADDR=192.0.2.1", "XFORWARD HELO=[UNAVAILABLE] IDENT=4QId",
     "XFORWARD ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] SOURCE=LOCAL PROTO=ESMTP"],
    # The new client may not say who it is, nor relay.
    ["EHLO proxy.example", "XCLIENT NAME=mx.example ADDR=192.0.2.1", "EHLO client.example",
     "XCLIENT NAME=a.example", "XFORWARD NAME=a.example", "MAIL FROM:<a@b.example>",
     "RCPT TO:<u@far.example>"],
    ["XCLIENT NAME=[TEMPUNAVAIL] ADDR=[UNAVAILABLE] LOGIN=joe PROTO=ESMTP HELO=said.example",
     "MAIL FROM:<a@b.example>", "RCPT TO:<u@far.example>"],
    # One of ours may relay.
    ["XCLIENT ADDR=127.0.0.9", "MAIL FROM:<a@b.example>", "RCPT TO:<u@far.example>"],
]
SETTINGS = {
    "smtpd_authorized_xclient_hosts": "127.0.0.1",
    "smtpd_authorized_xforward_hosts": "127.0.0.1",
    "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    "smtpd_client_port_logging": "yes",
}


def said(port, dialogue):
    with RawClient(port) as client:
        out = [re.sub(r"220 \S+ ESMTP \S+.*", "220", client.greeting)]
        for command in dialogue:
            reply = client.command(command)
            if command.startswith("EHLO"):
                reply = [line[4:] for line in reply.splitlines() if line[4:].startswith("X")]
            elif reply.startswith("220"):
                reply = "220"
            out.append((command[:80], reply))
        return out


def mail(port, before=()):
    with RawClient(port) as client:
        client.command("EHLO proxy.example")
        for command in before:
            reply = client.command(command)
            expect(reply.startswith("2"), f"{command}: {reply}")
        client.command("MAIL FROM:<a@b.example>")
        expect(client.command("RCPT TO:<u@far.example>").startswith("250"), "recipient")
        client.command("DATA")
        return client.command("Subject: x\r\n\r\ntext\r\n.")


with tempfile.TemporaryDirectory() as directory, sinks.Sink(
        extensions=(*sinks.EXTENSIONS, "XFORWARD NAME ADDR PORT PROTO HELO SOURCE IDENT")) as sink:
    top = pathlib.Path(directory)
    top.chmod(0o755)
    port = ports.free_port()
    relay = f"127.0.0.1:{sink.port}"
    with postfix_peer.Postfix(top / "postfix", f"127.0.0.1:{port}", relay=relay,
                              settings={**SETTINGS, "smtp_send_xforward_command": "yes"}) as theirs, \
            Suite(relayhost=f"[{'127.0.0.1'}]:{port}", smtp_send_xforward_command="yes",
                  smtpd_peername_lookup="no", **SETTINGS) as ours:
        for dialogue in DIALOGUES:
            expect_equal(said(ours.port, dialogue), said(port, dialogue), str(dialogue)[:200])

        # From us to Postfix, and on to the sink: the first client is known at the end.
        mail(ours.port, ["XFORWARD NAME=first.example ADDR=192.0.2.1 PORT=4711",
                         "XFORWARD PROTO=SMTP HELO=first IDENT=4QFirst SOURCE=REMOTE"])
        message = sink.wait(1)[0]
        ours_line = ours.wait_log(r": client=(\S+), orig_queue_id=4QFirst, orig_client=(\S+)")
        expect_match(r"^unknown\[127\.0\.0\.1\]:\d+$", ours_line.group(1), "client")
        expect_equal(ours_line.group(2), "first.example[192.0.2.1]:4711", "orig_client")
        expect_match(r"client=\S+\[127\.0\.0\.1\]:\d+, orig_queue_id=4QFirst, "
                     r"orig_client=first\.example\[192\.0\.2\.1\]:4711", theirs.log.read_text(), "Postfix")
        lines = [line for line in sink.sessions[message.session].lines if line.startswith("XFORWARD")]
        expect_equal(lines, ["XFORWARD NAME=first.example ADDR=192.0.2.1 PORT=4711",
                             "XFORWARD PROTO=SMTP HELO=first IDENT=4QFirst SOURCE=REMOTE"], "sink")
        # By XCLIENT the client is another one: in the log, in Received:, and to the next hop.
        mail(ours.port, ["XCLIENT NAME=other.example ADDR=127.0.0.7 PORT=99 HELO=me.example"])
        message = sink.wait(2)[1]
        ours.wait_log(r": client=other\.example\[127\.0\.0\.7\]:99$")
        expect_match(r"(?m)^Received: from me\.example \(other\.example \[127\.0\.0\.7\]\)", message.header, "header")
        lines = [line for line in sink.sessions[message.session].lines if line.startswith("XFORWARD")]
        expect("NAME=other.example ADDR=127.0.0.7" in lines[-2], f"{lines}")

    # From Postfix to us: an after-queue filter hands back to us, say.
    with Suite(relayhost=sink.place, smtp_send_xforward_command="yes", smtpd_peername_lookup="no",
               **SETTINGS) as ours:
        other = ports.free_port()
        with postfix_peer.Postfix(top / "before", f"127.0.0.1:{other}", relay=f"127.0.0.1:{ours.port}",
                                  settings={**SETTINGS, "smtp_send_xforward_command": "yes"}):
            reply = mail(other)
        first = re.search(r"queued as (\S+)", reply).group(1)
        ours.wait_log(rf": client=unknown\[127\.0\.0\.1\]:\d+, orig_queue_id={first}, "
                      rf"orig_client=unknown\[127\.0\.0\.1\]:\d+$")
        message = sink.wait(3)[2]
        expect_match(rf"IDENT={first} ", " ".join(sink.sessions[message.session].lines), "passed on")
        # Nothing that is not well formed gets into a line of the log.
        with RawClient(ours.port) as client:
            client.command("EHLO proxy.example")
            for bad in ("XFORWARD HELO=a+0D+0Afatal:+20forged", "XCLIENT NAME=a+0Aforged"):
                expect(client.command(bad).startswith("501 5.5.4 Bad attribute value syntax"), bad)
        expect(not any(re.search(r"^\S* ?fatal: forged|^forged", line) for line in ours.lines()), "forged")

# SPDX-License-Identifier: MIT
"""What the sender of mail to an alias is told, as Debian's Postfix does it: with NOTIFY=SUCCESS, that the
alias was expanded, and nothing of what became of it; for an address of an alias domain that is no alias,
that there is no such user, wherever relayhost and transport_maps would lead. A report finds its way to a
sender who is an alias himself.

# shows: virtual_alias_domains
# shows: virtual_alias_maps
# shows: smtpd_reject_unlisted_recipient
"""
import email
import email.policy
import pathlib
import re
import tempfile

import ports
import postfix_peer
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match, skip

if not postfix_peer.available():
    skip("Debian's Postfix and root are needed")

ALIASES = """
list@alias.example   one@far.example, two@far.example
other@alias.example  three@far.example
self@ours.example    self@ours.example
keep@ours.example    keep@ours.example, copy@far.example
chief@alias.example  boss@far.example
"""
CASES = [
    ("list@alias.example", "NOTIFY=SUCCESS"),
    ("list@alias.example", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+40alias.example"),
    ("list@alias.example", "NOTIFY=FAILURE"),
    ("list@alias.example", "NOTIFY=NEVER"),
    ("list@alias.example", ""),
    ("other@alias.example", "NOTIFY=SUCCESS,DELAY"),
    ("Other@Alias.Example", "NOTIFY=SUCCESS"),
    ("self@ours.example", "NOTIFY=SUCCESS"),
    ("keep@ours.example", "NOTIFY=SUCCESS"),
    ("renamed@ours.example", "NOTIFY=SUCCESS"),
    ("plain@far.example", "NOTIFY=SUCCESS"),
    # An alias that is none, behind checks at RCPT.
    ("nobody@alias.example", ""),
    ("nobody@alias.example", "NOTIFY=SUCCESS"),
    ("nobody@alias.example", "NOTIFY=NEVER"),
]
COMMON = {
    "myhostname": "mail.postrider.example", "myorigin": "ours.example", "mydestination": "",
    "virtual_alias_domains": "alias.example",
    "canonical_maps": "inline:{{renamed@ours.example = new@ours.example}}",
    "smtpd_reject_unlisted_recipient": "no", "smtpd_relay_restrictions": "permit_mynetworks, reject",
}
FIELDS = ("original-recipient", "final-recipient", "action", "status")


def send(port, to, options, number):
    with RawClient(port) as client:
        client.command("EHLO client.example")
        client.command(f"MAIL FROM:<chief@alias.example> RET=HDRS ENVID={number}")
        reply = client.command(f"RCPT TO:<{to}> {options}".rstrip())
        expect(reply.startswith("250"), f"{to}: {reply}")
        client.command("DATA")
        expect(client.command(f"Subject: case {number}\r\n\r\ntext\r\n.").startswith("250"), "mail")


def told(message):
    """Of a report: whom it goes to, and what it says of each recipient."""
    report = email.message_from_bytes(message.data, policy=email.policy.default)
    status = next(part for part in report.walk() if part.get_content_type() == "message/delivery-status")
    rows = []
    for part in status.get_payload()[1:]:
        row = tuple(str(part.get(name, "")).lower().replace("; ", ";") for name in FIELDS)
        # We name who was asked for only where the client did; Postfix makes it up (RFC 3798).
        rows.append(row[1:])
    return message.recipients, sorted(rows)


def is_empty(postfix):
    return not any(path.is_file() for name in ("incoming", "active", "deferred") for path in (postfix.queue / name).rglob("*"))


def outcome(messages):
    mails = [(sorted(m.recipients), sorted(re.sub(r" ORCPT=\S+", "", line.split(">", 1)[1]).upper().strip()
                                           for line in m.rcpt_lines)) for m in messages if m.sender]
    return sorted(mails), sorted(map(str, map(told, (m for m in messages if not m.sender))))


with tempfile.TemporaryDirectory() as directory:
    top = pathlib.Path(directory)
    top.chmod(0o755)
    (top / "virtual").write_text(ALIASES)
    COMMON["virtual_alias_maps"] = f"texthash:{top}/virtual"  # bounce has to read it as well
    for extensions in (sinks.EXTENSIONS, ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")):
        with sinks.Sink(extensions=extensions) as our_sink, sinks.Sink(extensions=extensions) as their_sink:
            port = ports.free_port()
            with postfix_peer.Postfix(top / f"postfix-{len(extensions)}", f"127.0.0.1:{port}",
                                      relay=f"127.0.0.1:{their_sink.port}",
                                      settings={**COMMON, "smtp_destination_recipient_limit": "50"}) as theirs, \
                    Suite(relayhost=our_sink.place, transport_maps="inline:{alias.example=smtp:}", **COMMON) as ours:
                for number, (to, options) in enumerate(CASES):
                    results = []
                    for at, sink, empty in (
                            (ours.port, our_sink, lambda: not ours.queue()),
                            (port, their_sink, lambda: is_empty(theirs))):
                        before = len(sink.messages)
                        send(at, to, options, number)
                        ports.wait_until(empty, 30, f"an empty queue after {to} {options}")
                        results.append(outcome(sink.messages[before:]))
                    expect_equal(results[0], results[1], f"{to} {options}: ours and Postfix's")
                log = "\n".join(ours.lines())
                expect_match(r"to=<nobody@alias\.example>, relay=none, .*dsn=5\.1\.1, status=bounced "
                             r"\(User unknown in virtual alias table\)", log)
                expect_match(r"to=<nobody@alias\.example>, relay=none, .*dsn=5\.1\.1, status=bounced "
                             r"\(User unknown in virtual alias table\)", theirs.log.read_text(), "Postfix")
                expect(not re.search(r" to=<list@alias\.example>, (?!orig_to)", log), "nobody delivers to an alias")

    # Local submission asks nobody at RCPT.
    with sinks.Sink() as sink, Suite(relayhost=sink.place, **{**COMMON, "smtpd_reject_unlisted_recipient": "yes"}) as ours:
        ours.sendmail("-f", "joe@far.example", "nobody@alias.example", text="Subject: x\n\ntext\n")
        report = sink.wait(1)[0]
        expect_equal(told(report), (["joe@far.example"], [("rfc822;nobody@alias.example", "failed", "5.1.1")]))
        with ours.raw() as client:
            client.command("EHLO c.example")
            client.command("MAIL FROM:<joe@far.example>")
            expect_equal(client.command("RCPT TO:<nobody@alias.example>"),
                         "550 5.1.1 <nobody@alias.example>: Recipient address rejected: "
                         "User unknown in virtual alias table")

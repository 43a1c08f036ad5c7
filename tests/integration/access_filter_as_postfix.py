# SPDX-License-Identifier: MIT
"""FILTER in access tables, as Debian's Postfix has it: the same tables and the same mail, and all
recipients go by the filter's transport; what is no filter is a warning. Mail that would have gone to the
next server in the session (smtpd_forward) is queued for its filter.

# shows: smtpd_sender_restrictions smtpd_recipient_restrictions
# shows: smtpd_data_restrictions smtpd_end_of_data_restrictions
"""
import json
import pathlib
import re
import tempfile

import ports
import postfix_peer
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match, skip

if not postfix_peer.available():
    skip("Debian's Postfix and root are needed")

# Sender and recipients of each message, and whether all of it is filtered.
MAILS = [
    ("plain@b.example", ["one@far.example", "two@other.example"], False),
    ("filtered@b.example", ["one@far.example", "two@other.example", "three@far.example"], True),
    ("plain@b.example", ["one@far.example", "filtered@far.example"], True),
    ("data@b.example", ["one@far.example"], True),
    ("end@b.example", ["one@far.example", "two@other.example"], True),
    ("none@b.example", ["one@far.example"], False),
    ("words@b.example", ["one@far.example"], False),
    # The last one counts; what is to be held is held, and filtered when it goes.
    ("dead@b.example", ["filtered@far.example"], True),
    # Aliases come before the filter, whose server sees what they became.
    ("filtered@b.example", ["alias@far.example"], True),
    # REDIRECT goes before all else.
    ("moved@b.example", ["one@far.example", "two@far.example"], False),
]


def settings(place):
    return {
        "myhostname": "mail.postrider.example", "myorigin": "ours.example", "mydestination": "",
        "smtpd_peername_lookup": "no",
        "virtual_alias_domains": "", "virtual_alias_maps": "inline:{{alias@far.example = a@far.example b@far.example}}",
        "smtpd_sender_restrictions": "check_sender_access inline:{"
                                     f"{{filtered@b.example = FILTER {place}}}, {{none@b.example = FILTER}}, "
                                     "{words@b.example = FILTER spam and eggs}, "
                                     "{dead@b.example = FILTER smtp:[127.0.0.1]:1}}",
        "smtpd_recipient_restrictions": f"check_recipient_access inline:{{{{filtered@far.example = FILTER {place}}}}}",
        "smtpd_data_restrictions": f"check_sender_access inline:{{{{data@b.example = FILTER {place}}}}}",
        "smtpd_end_of_data_restrictions":
            f"check_sender_access inline:{{{{end@b.example = FILTER {place}}}, {{moved@b.example = "
            "REDIRECT boss@far.example}}, check_sender_access inline:{{moved@b.example = FILTER " + place + "}}",
    }


def send(port, sender, recipients):
    with RawClient(port) as client:
        client.command("EHLO client.example")
        replies = [client.command(f"MAIL FROM:<{sender}>")]
        replies += [client.command(f"RCPT TO:<{to}>") for to in recipients]
        replies.append(client.command("DATA"))
        replies.append(re.sub(r"queued as \w+", "queued", client.command("Subject: x\r\n\r\ntext\r\n.")))
        return replies


def notes(log):
    return re.findall(r" \w+: (filter: .*)", log)  # Postfix has an id by then, we have none


with tempfile.TemporaryDirectory(prefix="postrider-test-") as directory, sinks.Sink() as usual, sinks.Sink() as scan:
    port = ports.free_port()
    common = settings(f"smtp:[127.0.0.1]:{scan.port}")
    with postfix_peer.Postfix(f"{directory}/postfix", f"127.0.0.1:{port}", f"127.0.0.1:{usual.port}", common) as theirs, \
            Suite(relayhost=usual.place, **common) as ours:
        for sender, recipients, filtered in MAILS:
            way = scan if filtered else usual
            arrived = []
            for at in (ours.port, port):
                before = len(usual.messages), len(scan.messages)
                replies = send(at, sender, recipients)
                expect_equal({reply[:3] for reply in replies}, {"250", "354"}, f"{sender} {recipients}")
                wanted = sorted(["boss@far.example"] if sender.startswith("moved") else
                                ["a@far.example", "b@far.example"] if "alias@far.example" in recipients else recipients)

                def come():
                    return sorted(to for m in way.messages[before[way is scan]:] for to in m.recipients)
                ports.wait_until(lambda: come() == wanted, 30, f"{sender} to {recipients}: {come()}")
                other = usual if filtered else scan
                expect_equal(len(other.messages), before[other is scan], "nothing went the other way")
                arrived.append(len(way.messages) - before[way is scan])
            if filtered:
                expect_equal(arrived[0], 1, "one message for all, whatever their domains")
        mine, other = notes("\n".join(ours.lines())), notes(theirs.log.read_text())
        expect_equal(mine, other, "the log")
        expect(len(mine) >= 7, "lines of the log")
        expect_match(r"warning: access table inline:.* entry \"none@b\.example\" requires transport:destination",
                     "\n".join(ours.lines()))

        # A filter that is away, or that is no transport: the mail waits, with the reason.
        send(ours.port, "dead@b.example", ["one@far.example"])
        ours.wait_log(r"to=<one@far\.example>, relay=none.*status=deferred \(.*\[127\.0\.0\.1\]:1: Connection refused")
        waiting = ours.queue()
        expect_equal([m["sender"] for m in waiting], ["dead@b.example"], "it waits")
        why = json.loads(ours.cli("why", waiting[0]["queue_id"], "--json").stdout)
        expect_equal(why["recipients"][0]["nexthop"], "[127.0.0.1]:1", "why names the filter")

    # In front of a next server: our queue filters, and the next server sees what comes out of the filter.
    for check in ("rcpt", "data"):
        with sinks.Sink() as after, Suite(smtpd_forward=f"tcp://127.0.0.1:{after.port}", smtpd_forward_check=check,
                                          mynetworks="127.0.0.0/8", relayhost=usual.place,
                                          smtpd_relay_restrictions="permit_mynetworks, reject", **common) as ours:
            for sender in ("filtered@b.example", "end@b.example"):
                before = len(scan.messages)
                expect_match("^250 2.0.0 Ok: queued$", send(ours.port, sender, ["one@far.example"])[-1], sender)
                expect_equal(scan.wait(before + 1)[before].recipients, ["one@far.example"], sender)
            expect_match("^250", send(ours.port, "plain@b.example", ["one@far.example"])[-1], "passed on")
            expect_equal([m.sender for m in after.wait(1)], ["plain@b.example"], "what the next server has")

# SPDX-License-Identifier: MIT
"""What access tables want done to mail that is passed on in the session: HOLD, REDIRECT, BCC and DISCARD,
said at RCPT, at DATA and when all of a large message has come, in both modes of smtpd_forward_check. The
next server never has what is not for it.

# shows: smtpd_end_of_data_restrictions smtpd_forward_check smtpd_forward_maps smtpd_forward_split
"""
import itertools

import ports
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match

ACTIONS = {"hold": "HOLD", "to": "REDIRECT boss@far.example", "copy": "BCC copy@far.example", "gone": "DISCARD",
           "fine": "DUNNO", "no": "REJECT"}
TABLE = ", ".join(f"{{{user}@b.example = {action}}}" for user, action in ACTIONS.items())
LARGE = "".join(f"{n:06} {'x' * 60}\r\n" for n in range(4000))  # more than is passed on at a time


def send(port, sender, recipients, body):
    with RawClient(port) as client:
        client.command("EHLO client.example")
        replies = [client.command(f"MAIL FROM:<{sender}>")]
        replies += [client.command(f"RCPT TO:<{to}>") for to in recipients]
        replies.append(client.command("DATA"))
        if replies[-1].startswith("354"):
            replies.append(client.command(f"Subject: x\r\n\r\n{body}."))
        return replies


for check, stage in itertools.product(("rcpt", "data"), ("sender", "data", "end_of_data")):
    with sinks.Sink() as following, sinks.Sink() as queue, Suite(
            smtpd_forward=f"tcp://127.0.0.1:{following.port}", smtpd_forward_check=check, relayhost=queue.place,
            **{f"smtpd_{stage}_restrictions": f"check_sender_access inline:{{{TABLE}}}"}) as suite:
        what = f"check={check}, smtpd_{stage}_restrictions"
        to = ["one@far.example", "two@far.example"]
        for body in ("short\r\n", LARGE):
            following.messages.clear()
            sent = {user: send(suite.port, f"{user}@b.example", to, body) for user in ACTIONS}
            for user in ("hold", "to", "copy", "gone", "fine"):
                expect_match("^250", sent[user][-1], f"{what}: {user}")
            expect_match("^554 5.7.1 <no@b.example>: Sender address rejected", sent["no"][-1 if stage != "sender" else 1])
            got = {m.sender.split("@")[0]: m for m in following.wait(3)}
            expect_equal(set(got), {"to", "copy", "fine"}, f"{what}: what the next server has")
            expect_equal(got["to"].recipients, ["boss@far.example"], what)
            expect_equal(sorted(got["copy"].recipients), sorted([*to, "copy@far.example"]), what)
            expect_equal(got["fine"].recipients, to, what)
            for message in got.values():
                expect_equal(message.body.decode(), body, f"{what}: content")
        expect_equal([m["sender"] for m in suite.queue()], ["hold@b.example"] * 2, f"{what}: on hold, and nothing else")
        expect(not queue.messages, "nothing was queued but what is held")
        expect(not any("cannot be held" in line for line in suite.lines()), what)

# Somebody who is put in goes his own way: to his own next server when he is alone, else through the queue.
for check in ("rcpt", "data"):
    with sinks.Sink() as one, sinks.Sink() as two, sinks.Sink() as queue, Suite(
            smtpd_forward_maps=f"inline:{{{{one.example = tcp://127.0.0.1:{one.port}}}, "
                               f"{{two.example = tcp://127.0.0.1:{two.port}}}}}",
            smtpd_forward_check=check, smtpd_forward_split="defer", relayhost=queue.place,
            smtpd_sender_restrictions="check_sender_access inline:{{to@b.example = REDIRECT boss@two.example}, "
                                      "{copy@b.example = BCC copy@two.example}, {far@b.example = REDIRECT x@far.example}}",
            smtpd_end_of_data_restrictions="check_sender_access inline:{{late@b.example = REDIRECT boss@two.example}}",
            virtual_alias_maps="inline:{{copy@two.example = real@two.example}}") as suite:
        for user, there, recipients in (("to", two, ["boss@two.example"]), ("late", two, ["boss@two.example"]),
                                        ("far", queue, ["x@far.example"])):
            before = len(there.messages)
            expect_match("^250", send(suite.port, f"{user}@b.example", ["u@one.example"], "text\r\n")[-1], user)
            expect_equal(there.wait(before + 1)[before].recipients, recipients, f"{check}: {user}")
            expect(not one.messages, f"{check}: {user} is not for the first one's server")
        expect_match("^250", send(suite.port, "copy@b.example", ["u@one.example"], "text\r\n")[-1], "copy")
        expect_equal(one.wait(1)[0].recipients, ["u@one.example"], "the recipient")
        # What is queued is rewritten like all mail of the queue.
        expect_equal(queue.wait(2)[1].recipients, ["real@two.example"], "the copy")
        ports.wait_until(lambda: not suite.queue(), 20, "an empty queue")

# SPDX-License-Identifier: MIT
"""What filters say becomes the reply, at each stage, with Postfix's log lines; quarantined mail is
held, discarded mail is gone. A filter that is away or dies is milter_default_action.

# shows: milter_default_action milter_connect_timeout milter_command_timeout milter_content_timeout
# shows: non_smtpd_milters smtpd_milter_maps
"""
import milter_peer as m
import ports
import sinks
from suite import Suite, expect, expect_equal, expect_match

STAGES = [  # command, answer, where, code, text
    ("H", [m.REJECT], "mail", 550, "5.7.1 Command rejected"),
    ("M", [m.TEMPFAIL], "mail", 451, "4.7.1 Service unavailable - try again later"),
    ("M", [m.reply("550 5.7.9 no %% here")], "mail", 550, "5.7.9 no % here"),
    ("R", [m.REJECT], "rcpt", 550, "5.7.1 Command rejected"),
    ("T", [m.reply("452 4.2.0 later")], "data", 452, "4.2.0 later"),
    ("L", [m.REJECT], "end", 550, "5.7.1 Command rejected"),
    ("N", [m.TEMPFAIL], "end", 451, "4.7.1 Service unavailable - try again later"),
    ("B", [m.REJECT], "end", 550, "5.7.1 Command rejected"),
    ("E", [m.reply("554-5.7.5 one\r\n554 5.7.5 two")], "end", 554, "5.7.5 one\n5.7.5 two"),
    ("M", None, "mail", 451, "4.7.1 Service unavailable - try again later"),  # it dies
    ("E", None, "end", 451, "4.7.1 Service unavailable - try again later"),
]


STEPS = [("ehlo", "EHLO client.example"), ("mail", "MAIL FROM:<from@example.org>"),
         ("rcpt", "RCPT TO:<to@example.net>"), ("data", "DATA"), ("end", "Subject: x\r\n\r\nbody\r\n.")]


def change(suite, expected, **settings):
    """Until the change is in force: a reload is not waited for."""
    suite.configure(**settings)
    suite.reload()
    ports.wait_until(lambda: attempt(suite)[:len(expected)] == expected, 20, f"{settings}: {expected}")


def attempt(suite):
    """Stage, code and text of the first refusal; or of the end."""
    with suite.raw() as client:
        code, text = split(client.greeting)
        if code >= 400:
            return "greeting", code, text
        for stage, command in STEPS:
            code, text = split(client.command(command))
            if code >= 400 or stage == "end":
                return stage, code, text
    return None


def split(reply):
    """The code of the last line, and the text of all."""
    return int(reply.splitlines()[-1][:3]), "\n".join(line[4:] for line in reply.splitlines())


def submitted(suite, milter):
    suite.sendmail("-f", "me@example.org", "to@example.net", text="Subject: local\n\nhello\n")
    return milter.heard


with sinks.Sink() as sink, m.Milter() as milter, \
        Suite(start=False, relayhost=sink.place, milter_command_timeout="5s", milter_content_timeout="5s",
              milter_connect_timeout="5s") as suite:
    suite.configure(smtpd_milters=milter.place)
    suite.start()
    for command, answer, where, code, text in STAGES:
        milter.script.clear()
        milter.script[command] = (lambda data: None) if answer is None else answer
        got = attempt(suite)
        expect_equal(got, (where, code, text), f"{command} {answer}")
    suite.wait_log(r"NOQUEUE: milter-reject: EHLO from \S+: 550 5\.7\.1 Command rejected; proto=ESMTP")
    suite.wait_log(r"NOQUEUE: milter-reject: MAIL from \S+: 550 5\.7\.9 no % here; "
                   r"from=<from@example\.org> proto=ESMTP helo=<client\.example>")
    suite.wait_log(r"NOQUEUE: milter-reject: RCPT from \S+: 550 5\.7\.1 Command rejected; "
                   r"from=<from@example\.org> to=<to@example\.net> proto=ESMTP helo=<client\.example>")
    suite.wait_log(r" (?!NOQUEUE)\w+: milter-reject: END-OF-MESSAGE from \S+: 5\.7\.5 one; from=<from@exa")
    expect_equal(sink.messages, [], "nothing passed")

    # The connection as a whole.
    milter.script.clear()
    milter.script["C"] = [m.REJECT]
    with suite.raw() as client:
        expect_equal(client.greeting, "554 mail.postrider.example ESMTP not accepting connections", "greeting")
        expect_match("^250", client.command("EHLO x"), "EHLO")
        expect_match("^550 5.7.1 ", client.command("MAIL FROM:<a@b.example>"), "MAIL")
        expect_match("^221 ", client.command("QUIT"), "QUIT")
    milter.script["C"] = [m.SHUTDOWN]
    with suite.raw() as client:
        expect_equal(client.greeting, "421 mail.postrider.example Service unavailable - try again later", "greeting")
        expect_equal(client.reply(), "", "and no more")

    # Quarantined: held until somebody releases it. Discarded: gone, and nobody hears of it.
    milter.script.clear()
    milter.script["E"] = [m.quarantine("suspicious"), m.CONTINUE]
    held = suite.send("from@example.org", ["to@example.net"])
    ports.wait_until(lambda: [q["queue_name"] for q in suite.queue()] == ["hold"], 20, "held mail")
    suite.wait_log(rf"{held}: milter-hold: END-OF-MESSAGE from \S+: milter triggers HOLD action; from=<from@")
    milter.script["E"] = [m.DISCARD]
    gone = suite.send("from@example.org", ["to@example.net"])
    suite.wait_log(rf"{gone}: milter-discard: END-OF-MESSAGE from \S+: milter triggers DISCARD action; from=<")
    expect_equal(sink.messages, [], "nothing delivered")
    suite.cli("release", held)
    sink.wait(1)
    suite.wait_empty()

    # What stands in for a filter that is away.
    nowhere = f"inet:127.0.0.1:{ports.free_port()}"
    for action, expected in (("tempfail", ("mail", 451)), ("reject", ("greeting", 554)), ("accept", ("end", 250)),
                             ("shutdown", ("greeting", 421)), ("quarantine", ("end", 250))):
        change(suite, expected, smtpd_milters=nowhere, milter_default_action=action)
    suite.wait_log(rf"warning: connect to Milter service {nowhere}: Connection refused")
    ports.wait_until(lambda: "hold" in [q["queue_name"] for q in suite.queue()], 20, "held for a dead filter")
    suite.cli("delete", "ALL")

    # One filter may have its own action; one that is silent is given up after its time.
    change(suite, ("mail", 451), milter_default_action="tempfail")
    change(suite, ("end", 250), smtpd_milters=f"{{ {nowhere}, default_action=accept }}")
    milter.script.clear()
    milter.script["M"] = []
    change(suite, ("mail", 451), smtpd_milters=f"{{ {milter.place}, command_timeout=1s }}")

    # A table may choose the filters of a client, or none.
    milter.script["M"] = [m.reply("550 5.7.9 chosen")]
    change(suite, ("mail", 550, "5.7.9 chosen"))
    change(suite, ("mail", 451), smtpd_milters=nowhere)
    change(suite, ("end", 250), smtpd_milter_maps="inline:{{127.0.0.1 = DISABLE}}")
    table = suite.write("milters", f"127.0.0.0/8 {milter.place}\n")
    change(suite, ("mail", 550, "5.7.9 chosen"), smtpd_milter_maps=f"cidr:{table}")
    change(suite, ("mail", 451), smtpd_milter_maps="")

    # Mail of this host has filters of its own.
    milter.script.clear()
    milter.heard.clear()
    change(suite, ("end", 250), smtpd_milters="", non_smtpd_milters=milter.place)
    ports.wait_until(lambda: submitted(suite, milter), 20, "the filter of local mail")
    heard = dict(milter.heard)
    expect_equal(heard["C"][0], b"localhost", "connect")
    expect_equal(heard["H"], [b"localhost"], "helo")
    names = [fields[0] for command, fields in milter.heard if command == "L"]
    expect({b"From", b"Date", b"Message-ID"} <= set(names), f"the header is complete: {names}")
    milter.script["E"] = [m.REJECT]
    done = suite.sendmail("-f", "me@example.org", "to@example.net", text="Subject: no\n\nhello\n", check=False)
    expect(done.returncode != 0, "sendmail hears the verdict")

# SPDX-License-Identifier: MIT
"""Sequences of commands in random order: every reply is one that the standard allows, and the session
serves a proper message at its end."""
import random

import sinks
from suite import Suite, expect, expect_match

WORDS = ["HELO a", "EHLO a", "MAIL FROM:<a@example.org>", "MAIL FROM:<>", "RCPT TO:<b@example.net>", "RCPT TO:b",
         "DATA", "RSET", "NOOP", "VRFY x", "BDAT 0", "BDAT 2 LAST", "EXPN l", "HELP", "MAIL", "XYZZY", "ETRN x",
         "AUTH PLAIN", "STARTTLS", "RCPT TO:<@a,@b:c@example.net>", "MAIL FROM:<a@example.org> BODY=WRONG"]
with sinks.Sink() as sink, \
        Suite(relayhost=sink.place, smtpd_error_sleep_time="0s", smtpd_hard_error_limit="1000",
              smtpd_junk_command_limit="1000") as suite:
    rng = random.Random(20261121)
    for _ in range(150):
        with suite.raw() as client:
            said = []
            helo = mail = rcpt = False
            for word in rng.choices(WORDS, k=rng.randint(3, 10)):
                verb = word.split()[0]
                if verb == "BDAT":
                    client.write(word + "\r\n" + "xy"[:int(word.split()[1])])
                    reply = client.reply()
                else:
                    reply = client.command(word)
                said.append((word, reply[:80]))
                expect_match(r"^[2345]\d\d", reply, said)
                ok = reply[0] in "23"
                if verb in ("HELO", "EHLO"):
                    helo, mail, rcpt = True, False, False
                elif verb == "MAIL":
                    expect(not (ok and mail), f"nested MAIL: {said}")
                    mail = mail or ok
                elif verb == "RCPT":
                    expect(not ok or mail, f"RCPT without MAIL: {said}")
                    rcpt = rcpt or ok
                elif verb in ("DATA", "BDAT"):
                    expect(not ok or rcpt, f"{verb} without recipient: {said}")
                    if verb == "DATA" and reply.startswith("354"):
                        expect_match(r"^[245]\d\d", client.command("x\r\n."), said)
                        mail = rcpt = False
                    elif word.endswith("LAST"):
                        mail = rcpt = False
                        client.command("RSET")
                    elif not ok:
                        mail = rcpt = False
                        client.command("RSET")
                elif verb == "RSET":
                    mail = rcpt = False
            client.command("RSET")
            for line, code in (("EHLO a", "250"), ("MAIL FROM:<a@example.org>", "250"),
                               ("RCPT TO:<good@example.net>", "250"), ("DATA", "354"),
                               ("Subject: x\r\n\r\ngood\r\n.", "250"), ("QUIT", "221")):
                expect_match(f"^{code}", client.command(line), (said, line))
    sink.wait(150, seconds=60)

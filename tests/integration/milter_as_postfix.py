# SPDX-License-Identifier: MIT
"""One mail filter behind Debian's Postfix and behind ours: for each thing that it may say it hears the
same, the client gets the same replies, the same message arrives, and the log has the same lines. What
differs on purpose is listed."""
import re
import tempfile

import milter_peer as m
import ports
import postfix_peer
import sinks
from suite import RawClient, Suite, expect, expect_equal, skip

if not postfix_peer.available():
    skip("Debian's Postfix and root are needed")

CONTENT = ("From: from@example.org\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <one@example.org>\r\n"
           "X-Old: 1\r\nX-Old:   2\r\nX-Fold: a\r\n\tb\r\nx-old:3\r\n\r\n..first\r\nsecond\r\n.")
DIALOGUE = ["EHLO client.example", "MAIL FROM:<from@example.org> SIZE=100 BODY=8BITMIME", "RCPT TO:<a@example.net>",
            "RCPT TO:<\"b c\"@example.net> NOTIFY=NEVER", "DATA", CONTENT, "RSET", "NOOP", "HUH what", "QUIT"]
CASES = {
    "nothing": {},
    "accept at connect": {"C": [m.ACCEPT]},
    "reject at connect": {"C": [m.REJECT]},
    "421 at connect": {"C": [m.reply("421 4.7.0 go away")]},
    "tempfail at connect": {"C": [m.TEMPFAIL]},
    "reject helo": {"H": [m.REJECT]},
    "reject mail": {"M": [m.reply("550 5.7.9 no %% %d here")]},
    "tempfail mail": {"M": [m.TEMPFAIL]},
    "accept mail": {"M": [m.ACCEPT]},
    "discard mail": {"M": [m.DISCARD]},
    "reject rcpt": {"R": [m.REJECT]},
    "reject one rcpt": {"R": lambda data: [m.REJECT if b"<a@" in data else m.CONTINUE]},
    "reject data": {"T": [m.reply("451 4.7.1 not now")]},
    "reject header": {"L": [m.REJECT]},
    "tempfail eoh": {"N": [m.TEMPFAIL]},
    "discard body": {"B": [m.DISCARD]},
    "skip body": {"B": [m.SKIP]},
    "reject message": {"E": [m.REJECT]},
    "lines of a reply": {"E": [m.reply("554-5.7.5 one\r\n554 5.7.5 two")]},
    "reject unknown": {"U": [m.reply("550 5.5.9 unheard of")]},
    "add header": {"E": [m.add_header("X-New", "one\n two"), m.CONTINUE]},
    "insert header": {"E": [m.insert_header(0, "X-0", "0"), m.insert_header(1, "X-1", "1"), m.insert_header(3, "X-3", "3"),
                          m.insert_header(100, "X-100", "100"), m.CONTINUE]},
    "insert below": {"E": [m.insert_header(1, "X-1", "1"), m.CONTINUE]},
    "change header": {"E": [m.change_header(2, "X-Old", "new"), m.change_header(0, "From", "<other@example.org>"),
                          m.change_header(1, "X-Added", "yes"), m.CONTINUE]},
    "delete header": {"E": [m.change_header(2, "X-Old", ""), m.change_header(2, "X-Old", ""),
                          m.change_header(9, "X-Old", ""), m.CONTINUE]},
    "recipients": {"E": [m.add_recipient("<more@example.net>"), m.delete_recipient("<a@example.net>"),
                       m.delete_recipient("<\"b c\"@example.net>"), m.CONTINUE]},
    "sender": {"E": [m.change_sender("<changed@example.org>"), m.CONTINUE]},
    "null sender": {"E": [m.change_sender("<>"), m.CONTINUE]},
    "body": {"E": [m.replace_body(b"new\r\n.dot\r\n"), m.replace_body(b"end\r\n"), m.CONTINUE]},
    "body and accept": {"E": [m.PROGRESS, m.replace_body(b"new\r\n"), m.ACCEPT]},
    "all recipients deleted": {"E": [m.delete_recipient("<a@example.net>"), m.delete_recipient("<\"b c\"@example.net>"),
                                   m.CONTINUE]},
    "change and reject": {"E": [m.add_header("X-New", "one"), m.REJECT]},
    "discard message": {"E": [m.DISCARD]},
    "malformed reply": {"M": [m.reply("250 2.0.0 fine")]},
    "unknown answer": {"M": [("Z", b"")]},
    "dies": {"R": lambda data: None},
}
NOTHING_ARRIVES = [name for name in CASES if re.match("(tempfail|reject|421|discard|lines|malformed|dies|unknown|all|change and)", name)
                   and name not in ("reject one rcpt", "reject unknown")]
SAME = {"myhostname": "mail.postrider.example", "smtpd_banner": "mail.postrider.example ESMTP", "mynetworks": "127.0.0.0/8",
        "smtpd_error_sleep_time": "0", "milter_macro_v": "v", "milter_command_timeout": "10s",
        "smtpd_peername_lookup": "no", "smtpd_discard_ehlo_keywords": "chunking", "milter_unknown_command_macros": "j"}
LINE = r"(?:NOQUEUE|\w+): (milter-\w+: .*)"
# Ours has another code for an unknown command, and says at DATA that MAIL is missing, which it is.
REPLIES = [(r"queued as \w+", "queued"), ("^50[02] 5.5.2 ", "50x 5.5.2 "), ("need (?:MAIL|RCPT) command", "need command")]
# smtpd does not know routes; Postfix has an id from the first RCPT on, ours from the end of the header on.
UNKNOWN_TO_US = ("{mail_host}", "{mail_mailer}", "{rcpt_host}", "{rcpt_mailer}")




def talk(port, milter, script):
    """Replies to the end of the session, and what the filter heard."""
    milter.script, milter.heard, milter.bodies, milter.macros = script, [], [], {}
    replies = []
    with RawClient(port) as client:
        replies.append(client.greeting)
        for line in DIALOGUE:
            if line == CONTENT and not replies[-1].startswith("354"):
                continue
            try:
                reply = client.command(line)
            except OSError:
                reply = ""
            if line.startswith("EHLO") and reply.startswith("250"):
                reply = "250"
            for pattern, plain in REPLIES:
                reply = re.sub(pattern, plain, reply)
            replies.append(reply)
            if not reply:
                break
    heard = [(c, f[:1] if c == "C" else f) for c, f in milter.heard if c != "A"]
    macros = {(c, name): value for c in "CMRNEU" for name, value in milter.macros.get(c, {}).items()
              if name not in UNKNOWN_TO_US and not (c == "R" and name == "i")}
    return {"replies": replies, "heard": heard, "bodies": milter.bodies,
            "macros": {key: "id" if key[1] == "i" else value for key, value in macros.items()}}


def arrived(message):
    header = re.sub(r"(?m)^Received: (?:.*\r\n[ \t])*.*(?:\r\n)?", "Received: ours\r\n", message.header + "\r\n")
    return message.sender, sorted(message.recipients), header, message.body


def session_log(lines, start):
    """What it says of filters, once the session is over."""
    ports.wait_until(lambda: any("disconnect from" in line for line in lines()[start:]), 20, "the end of a session")
    found = [line for text in lines()[start:] for line in re.findall(LINE, text)]
    # Of a reply of several lines Postfix writes the whole, we the first.
    return [re.sub(r"proto=E?SMTP|\?\?\d.*?(?=;)", "", line) for line in found if "no recipient" not in line]


with tempfile.TemporaryDirectory(prefix="postrider-test-") as directory, sinks.Sink() as our_sink, \
        sinks.Sink() as their_sink, m.Milter() as milter, \
        Suite(relayhost=our_sink.place, smtpd_milters=milter.place, **SAME) as suite:
    port = ports.free_port()
    with postfix_peer.Postfix(f"{directory}/postfix", f"127.0.0.1:{port}", f"127.0.0.1:{their_sink.port}",
                              {**SAME, "smtpd_milters": milter.place}) as postfix:
        delivered = 0
        for name, script in CASES.items():
            logged = len(suite.lines()), len(postfix.log.read_text().splitlines())
            mine, theirs = talk(suite.port, milter, script), talk(port, milter, script)
            for what, said in theirs.items():
                expect_equal(mine[what], said, f"{name}: {what}, ours and Postfix's")
            if name not in NOTHING_ARRIVES:
                delivered += 1
                expect_equal(arrived(our_sink.wait(delivered)[-1]), arrived(their_sink.wait(delivered)[-1]),
                             f"{name}: the message, ours and Postfix's")
            logs = [session_log(suite.lines, logged[0]),
                    session_log(lambda: postfix.log.read_text().splitlines(), logged[1])]
            expect_equal(logs[0], logs[1], f"{name}: the log, ours and Postfix's")
        expect(delivered >= 12, "messages that went through both")

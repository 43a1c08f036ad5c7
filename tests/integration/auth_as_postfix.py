# SPDX-License-Identifier: MIT
"""The same AUTH dialogues with Debian's Postfix and with ours, on one password database: the same replies,
and the same facts in the log. What differs on purpose is listed."""
import base64
import os
import pathlib
import pwd
import re
import tempfile

import ports
import postfix_peer
import sasl_accounts
import sinks
from sasl_accounts import PASSWORD, REALM, SETTINGS
from suite import RawClient, Suite, expect, expect_equal, skip

if not postfix_peer.available():
    skip("Debian's Postfix and root are needed")

PLAIN = base64.b64encode(f"\0joe\0{PASSWORD}".encode()).decode()
WRONG = base64.b64encode(b"\0joe\0wrong").decode()
NOBODY = base64.b64encode(b"\0nobody\0wrong").decode()
STAR = base64.b64encode(b"*").decode()
MAIL, RCPT = "MAIL FROM:<joe@example.org>", "RCPT TO:<to@example.net>"
DIALOGUES = [
    ["EHLO x", "AUTH", "AUTH PLAIN a b", "AUTH X-NONE", "AUTH PLAIN AAAA", "AUTH PLAIN", "*", "AUTH PLAIN", ""],
    ["EHLO x", "AUTH PLAIN " + WRONG, "AUTH PLAIN " + NOBODY, "AUTH LOGIN", STAR, STAR, "AUTH ANONYMOUS " + STAR],
    ["EHLO x", "AUTH LOGIN " + base64.b64encode(b"joe").decode(), base64.b64encode(b"wrong").decode(), "NOOP"],
    ["EHLO x", MAIL, "AUTH PLAIN " + PLAIN, "RSET", "auth plain " + PLAIN, "AUTH PLAIN " + PLAIN],
    ["EHLO x", MAIL, RCPT, "RSET", "AUTH PLAIN " + PLAIN, MAIL + " AUTH=joe@example.org", RCPT, "RSET",
     MAIL + " AUTH=<>", RCPT, "EHLO x", MAIL, RCPT],
    ["EHLO x", "AUTH PLAIN", "A" * 12289, "NOOP"],
    ["EHLO x", "AUTH PLAIN " + PLAIN, MAIL + " AUTH=joe@example.org", RCPT, "DATA", "Subject: s\r\n\r\ntext\r\n."],
]
# AUTH before EHLO is no protocol for us, bad base64 is 501 (RFC 4954 section 4), methods are in upper case.
FAILED = r"SASL (\S+) authentication (?:failed: ([^,]+), sasl_username=(\S+)|(aborted))"
CLIENT = r"client=\S+, sasl_method=(\S+), sasl_username=(\S+), sasl_sender=(\S+)"
SAME = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_local_domain": REALM, "broken_sasl_auth_clients": "yes",
        "smtpd_sasl_security_options": "noanonymous", "smtpd_error_sleep_time": "0",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject", "mynetworks": "192.0.2.1"}


def talk(port):
    out = []
    for dialogue in DIALOGUES:
        with RawClient(port) as client:
            for line in dialogue:
                reply = client.command(line)
                if line.startswith("EHLO"):
                    reply = "\n".join(re.findall(r"(?m)^250.AUTH.*", reply))
                out.append((line[:60], re.sub(r"queued as \S+", "queued", reply)))
    return out


def facts(text):
    failures = [(a.upper(), *rest) for a, *rest in re.findall(FAILED, text)]
    return failures, [(a.upper(), *rest) for a, *rest in re.findall(CLIENT, text)]


with tempfile.TemporaryDirectory() as directory, sinks.Sink() as sink:
    top = pathlib.Path(directory)
    top.chmod(0o755)
    with Suite(start=False, relayhost=sink.place, **{**SETTINGS, **SAME}) as suite:
        database = sasl_accounts.make(suite, ["PLAIN", "LOGIN"])
        suite.start()
        port = ports.free_port()
        with postfix_peer.Postfix(top / "postfix", f"127.0.0.1:{port}", f"127.0.0.1:{sink.port}", SAME) as postfix:
            (postfix.conf / "sasl").mkdir(exist_ok=True)
            copy = top / "sasldb2"
            copy.write_bytes(database.read_bytes())
            os.chown(copy, pwd.getpwnam("postfix").pw_uid, -1)
            (postfix.conf / "sasl/smtpd.conf").write_text(
                f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {copy}\nmech_list: PLAIN LOGIN\n")
            for ours, theirs in zip(talk(suite.port), talk(port)):
                expect_equal(ours, theirs, "a reply, ours and Postfix's")
            sink.wait(2)
            ours, theirs = facts("\n".join(suite.lines())), facts(postfix.log.read_text())
            expect_equal(ours[0], theirs[0], "failures in the log")
            # Postfix writes the line at the first RCPT, ours is for messages that came whole.
            expect_equal(set(ours[1]), set(theirs[1]), "messages in the log")
            expect(len(ours[0]) >= 8 and len(ours[1]) == 1, f"the log: {ours}")
